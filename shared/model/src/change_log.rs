//! Log of the keys that changed last, shared by clones like the tables that it describes. Given an earlier position, it
//! returns the keys that may differ since, so that work derived from a table is proportional to its changes.

use std::{fmt, sync::Arc};

use rpds::RedBlackTreeMapSync;

#[cfg(test)]
mod tests;

/// Maximum number of changes that the log holds. After more of them, a reader starts over.
pub const MAX_CHANGES: usize = 8_192;

/// Latest changes, by increasing number. Each has an identity of its own, so that logs that were cloned and then written
/// to separately are told apart.
pub struct ChangeLog<K> {
    changes: RedBlackTreeMapSync<u64, (K, Arc<()>)>,
}

/// Position in a log: its last change.
#[derive(Debug, Clone, Default)]
pub struct ChangeLogPosition(Option<(u64, Arc<()>)>);

impl<K: Clone> ChangeLog<K> {
    /// Appends a change of `key`.
    pub fn record(&mut self, key: K) {
        let last = self.changes.last();
        let number = last.map_or(0, |(number, _)| number + 1);
        self.changes.insert_mut(number, (key, Arc::default()));
        if self.changes.size() > MAX_CHANGES
            && let Some((&oldest, _)) = self.changes.first()
        {
            self.changes.remove_mut(&oldest);
        }
    }

    /// Returns the position after the last change.
    pub fn position(&self) -> ChangeLogPosition {
        let last = self.changes.last();
        ChangeLogPosition(last.map(|(number, (_, identity))| (*number, Arc::clone(identity))))
    }

    /// Returns the keys that changed after `position`, with repetitions; `None` if the log does not hold them all any
    /// more, or if the position is of a log that this one is not derived from.
    pub fn since<'a>(
        &'a self,
        position: &ChangeLogPosition,
    ) -> Option<impl Iterator<Item = &'a K> + use<'a, K>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = match &position.0 {
            Some((number, identity)) => {
                let (_, held) = self.changes.get(number)?;
                if !Arc::ptr_eq(identity, held) {
                    return None;
                }
                Excluded(*number)
            }
            None => {
                let is_whole = self.changes.first().is_none_or(|(number, _)| *number == 0);
                if !is_whole {
                    return None;
                }
                Unbounded
            }
        };
        let changes = self.changes.range::<u64, _>((after, Unbounded));
        Some(changes.map(|(_, (key, _))| key))
    }
}

impl<K> Clone for ChangeLog<K> {
    fn clone(&self) -> Self {
        Self {
            changes: self.changes.clone(),
        }
    }
}

impl<K> Default for ChangeLog<K> {
    fn default() -> Self {
        Self {
            changes: RedBlackTreeMapSync::new_sync(),
        }
    }
}

/// All logs are equal: equal tables may have been reached by different changes.
impl<K> PartialEq for ChangeLog<K> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl<K> Eq for ChangeLog<K> {}

impl<K> fmt::Debug for ChangeLog<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeLog({} changes)", self.changes.size())
    }
}
