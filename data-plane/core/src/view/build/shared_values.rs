//! Values that several owners share, each held as long as it has an owner.

use std::{fmt::Debug, sync::Arc};

use rpds::RedBlackTreeMapSync;

/// Values by key, with the number of their owners.
#[derive(Debug, Clone)]
pub(in crate::view) struct SharedValues<K: Ord, V> {
    values: RedBlackTreeMapSync<K, (Arc<V>, usize)>,
}

impl<K: Ord + Clone, V> SharedValues<K, V> {
    /// Returns the value at `key` for one more owner. It is made for the first.
    pub(super) fn acquire(&mut self, key: K, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        let held = self.values.get(&key);
        let (value, owners) = held.map_or_else(|| (make(), 0), |(it, n)| (Arc::clone(it), *n));
        self.values
            .insert_mut(key, (Arc::clone(&value), owners + 1));
        value
    }

    /// Takes one owner from the value at `key`.
    pub(super) fn release(&mut self, key: &K) {
        let Some((value, owners)) = self.values.get(key) else {
            return;
        };
        if *owners <= 1 {
            self.values.remove_mut(key);
        } else {
            let fewer = (Arc::clone(value), owners - 1);
            self.values.insert_mut(key.clone(), fewer);
        }
    }

    #[cfg(test)]
    pub(in crate::view) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl<K: Ord, V> Default for SharedValues<K, V> {
    fn default() -> Self {
        Self {
            values: RedBlackTreeMapSync::new_sync(),
        }
    }
}
