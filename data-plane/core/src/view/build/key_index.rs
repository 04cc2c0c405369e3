//! Sets of values by key, shared by clones: a write copies the path to one value.

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

/// Index from keys to sets of values. A key without values is not held.
#[derive(Debug, Clone)]
pub(in crate::view) struct KeyIndex<K: Ord, V: Ord> {
    sets: RedBlackTreeMapSync<K, RedBlackTreeSetSync<V>>,
}

impl<K: Ord + Clone, V: Ord> KeyIndex<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) {
        let held = self.sets.get(&key).cloned();
        let mut set = held.unwrap_or_else(RedBlackTreeSetSync::new_sync);
        set.insert_mut(value);
        self.sets.insert_mut(key, set);
    }

    pub(super) fn remove(&mut self, key: &K, value: &V) {
        let Some(held) = self.sets.get(key) else {
            return;
        };
        let set = held.remove(value);
        if set.is_empty() {
            self.sets.remove_mut(key);
        } else {
            self.sets.insert_mut(key.clone(), set);
        }
    }

    /// Iterates over the values of `key` in order.
    pub(super) fn get(&self, key: &K) -> impl Iterator<Item = &V> {
        let set = self.sets.get(key);
        set.into_iter().flat_map(RedBlackTreeSetSync::iter)
    }

    #[cfg(test)]
    pub(in crate::view) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

impl<K: Ord, V: Ord> Default for KeyIndex<K, V> {
    fn default() -> Self {
        Self {
            sets: RedBlackTreeMapSync::new_sync(),
        }
    }
}
