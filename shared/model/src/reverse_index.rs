//! Index from a key to a set of values, shared by clones like the tables that it is derived from.

use std::ops::Bound;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

#[cfg(test)]
mod tests;

/// Sets of values by key, in key order. A key without values is not held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseIndex<K: Ord, V: Ord> {
    sets: RedBlackTreeMapSync<K, RedBlackTreeSetSync<V>>,
}

impl<K: Ord + Clone, V: Ord> ReverseIndex<K, V> {
    /// Adds a value of `key`.
    pub fn insert(&mut self, key: K, value: V) {
        let held = self.sets.get(&key).cloned();
        let mut set = held.unwrap_or_else(RedBlackTreeSetSync::new_sync);
        set.insert_mut(value);
        self.sets.insert_mut(key, set);
    }

    /// Removes a value of `key`, if it is held.
    pub fn remove(&mut self, key: &K, value: &V) {
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

    /// Returns `true` if no key has a value.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Iterates over the values of `key` in order.
    pub fn get(&self, key: &K) -> impl Iterator<Item = &V> {
        let set = self.sets.get(key);
        set.into_iter().flat_map(RedBlackTreeSetSync::iter)
    }

    /// Iterates over the values of the keys after `after`, up to and including `until`, in key order.
    pub fn between(&self, after: Option<K>, until: K) -> impl Iterator<Item = &V> {
        let is_empty = after.as_ref().is_some_and(|after| *after >= until);
        let range = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Included(until),
        );
        let keys = (!is_empty).then(|| self.sets.range::<K, _>(range));
        let sets = keys.into_iter().flatten().map(|(_, set)| set);
        sets.flat_map(RedBlackTreeSetSync::iter)
    }
}

impl<K: Ord, V: Ord> Default for ReverseIndex<K, V> {
    fn default() -> Self {
        Self {
            sets: RedBlackTreeMapSync::new_sync(),
        }
    }
}
