//! Concurrent map in shards, so that threads rarely contend for a lock.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

const SHARDS: usize = 64;

/// Bounded map. Its locks are never held across an await.
pub(crate) struct ShardedMap<K, V> {
    shards: Box<[RwLock<HashMap<K, V>>]>,
    hasher: RandomState,
    count: AtomicUsize,
    limit: usize,
}

/// Error of a map at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapFull;

impl<K: Hash + Eq + Clone, V: Clone> ShardedMap<K, V> {
    /// Creates a map with room for about `limit` entries.
    pub(crate) fn new(limit: usize) -> Self {
        let shards = std::iter::repeat_with(RwLock::default).take(SHARDS);
        Self {
            shards: shards.collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            limit,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        // Most lookups happen while the map is empty.
        if self.is_empty() {
            return None;
        }
        self.read(key).get(key).cloned()
    }

    /// Returns the entry, or inserts the result of `make`, which runs at most once at a time per key.
    pub(crate) fn get_or_insert(&self, key: &K, make: impl FnOnce() -> V) -> Result<V, MapFull> {
        self.get_or_try(key, MapFull, || Ok(make()))
    }

    /// Like [`get_or_insert`](Self::get_or_insert), but `make` may fail. `make` runs under the lock, so concurrent
    /// callers for one key take a quota once. Returns `full` if the map is at its limit.
    pub(crate) fn get_or_try<E>(
        &self,
        key: &K,
        full: E,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(found) = self.get(key) {
            return Ok(found);
        }
        let mut shard = self.write(key);
        if let Some(found) = shard.get(key) {
            return Ok(found.clone());
        }
        if self.len() >= self.limit {
            return Err(full);
        }
        let made = make()?;
        shard.insert(key.clone(), made.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(made)
    }

    /// Changes, inserts or removes an entry under the lock of its shard. Inserting ignores the limit.
    pub(crate) fn update<R>(&self, key: &K, change: impl FnOnce(&mut Option<V>) -> R) -> R {
        let mut shard = self.write(key);
        let before = shard.remove(key);
        let was = usize::from(before.is_some());
        let mut value = before;
        let result = change(&mut value);
        let is = usize::from(value.is_some());
        if let Some(value) = value {
            shard.insert(key.clone(), value);
        }
        if is > was {
            self.count.fetch_add(1, Ordering::Relaxed);
        } else if is < was {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    /// Removes the entry if it exists and `done` returns `true`.
    pub(crate) fn remove_if(&self, key: &K, done: impl FnOnce(&V) -> bool) {
        self.update(key, |value| {
            if value.as_ref().is_some_and(done) {
                *value = None;
            }
        });
    }

    /// Visits every entry. Locks one shard at a time.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.iter().for_each(|(key, value)| visit(key, value));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &K) -> &RwLock<HashMap<K, V>> {
        // The remainder is smaller than the number of shards, which is not zero.
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        &self.shards[hash]
    }

    fn read(&self, key: &K) -> RwLockReadGuard<'_, HashMap<K, V>> {
        self.shard(key)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &K) -> RwLockWriteGuard<'_, HashMap<K, V>> {
        self.shard(key)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
