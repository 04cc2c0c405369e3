//! Resources of a snapshot by key. Clones share their content: a write copies the path to one entry, so that its cost does
//! not grow with the number of entries. A log of the latest writes, which clones share likewise, names the keys in which
//! two clones may differ.

use std::{fmt, ops::Index};

use rpds::RedBlackTreeMapSync;

use super::{ResourceKey, SnapshotEntry};
use crate::change_log::ChangeLog;

/// Resources by key, in key order.
#[derive(Clone)]
pub struct SnapshotEntries {
    entries: RedBlackTreeMapSync<ResourceKey, SnapshotEntry>,
    /// Keys of the latest writes. Clones that are more writes apart than it holds are compared as a whole.
    writes: ChangeLog<ResourceKey>,
}

impl SnapshotEntries {
    /// Returns the entry at `key`.
    pub fn get(&self, key: &ResourceKey) -> Option<&SnapshotEntry> {
        self.entries.get(key)
    }

    /// Returns the entry at `key`, to be replaced.
    pub fn get_mut(&mut self, key: &ResourceKey) -> Option<&mut SnapshotEntry> {
        if self.entries.contains_key(key) {
            self.writes.record(key.clone());
        }
        self.entries.get_mut(key)
    }

    /// Returns `true` if there is an entry at `key`.
    pub fn contains_key(&self, key: &ResourceKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// Returns `true` if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Iterates over the entries in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&ResourceKey, &SnapshotEntry)> {
        self.entries.iter()
    }

    /// Iterates over the keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &ResourceKey> {
        self.entries.keys()
    }

    /// Iterates over the entries in key order.
    pub fn values(&self) -> impl Iterator<Item = &SnapshotEntry> {
        self.entries.values()
    }

    /// Puts an entry at `key`. Returns the former entry.
    pub fn insert(&mut self, key: ResourceKey, entry: SnapshotEntry) -> Option<SnapshotEntry> {
        let former = self.entries.get(&key).cloned();
        self.writes.record(key.clone());
        self.entries.insert_mut(key, entry);
        former
    }

    /// Removes the entry at `key`, and returns it.
    pub fn remove(&mut self, key: &ResourceKey) -> Option<SnapshotEntry> {
        let former = self.entries.get(key).cloned()?;
        self.writes.record(key.clone());
        self.entries.remove_mut(key);
        Some(former)
    }

    /// Changes entries one by one.
    pub fn update_each(&mut self, mut change: impl FnMut(&ResourceKey, &mut SnapshotEntry)) {
        let entries: Vec<_> = self.iter().map(|(k, e)| (k.clone(), e.clone())).collect();
        for (key, former) in entries {
            let mut entry = former.clone();
            change(&key, &mut entry);
            if entry != former {
                self.insert(key, entry);
            }
        }
    }

    /// Returns the keys in which these entries may differ from `earlier`, with repetitions; `None` if they are not derived
    /// from `earlier`, or by too many writes. Visits these keys only.
    pub fn written_since<'a>(
        &'a self,
        earlier: &Self,
    ) -> Option<impl Iterator<Item = &'a ResourceKey> + use<'a>> {
        self.writes.since(&earlier.writes.position())
    }
}

impl Default for SnapshotEntries {
    fn default() -> Self {
        Self {
            entries: RedBlackTreeMapSync::new_sync(),
            writes: ChangeLog::default(),
        }
    }
}

/// Compares the entries: equal ones may have been written in different ways.
impl PartialEq for SnapshotEntries {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for SnapshotEntries {}

impl Index<&ResourceKey> for SnapshotEntries {
    type Output = SnapshotEntry;

    fn index(&self, key: &ResourceKey) -> &SnapshotEntry {
        &self.entries[key]
    }
}

impl Extend<(ResourceKey, SnapshotEntry)> for SnapshotEntries {
    fn extend<I: IntoIterator<Item = (ResourceKey, SnapshotEntry)>>(&mut self, entries: I) {
        for (key, entry) in entries {
            self.insert(key, entry);
        }
    }
}

impl FromIterator<(ResourceKey, SnapshotEntry)> for SnapshotEntries {
    fn from_iter<I: IntoIterator<Item = (ResourceKey, SnapshotEntry)>>(entries: I) -> Self {
        let mut all = Self::default();
        all.extend(entries);
        all
    }
}

impl<'a> IntoIterator for &'a SnapshotEntries {
    type Item = (&'a ResourceKey, &'a SnapshotEntry);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl fmt::Debug for SnapshotEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
