//! Registration of an actor with its registry. An actor ends its registration without naming the registry's types, so
//! that registries depend on actors and not the other way round.

use std::{
    hash::Hash,
    sync::{Arc, Weak},
};

use crate::sharded_map::ShardedMap;

/// Entry of one actor in a registry, under the key with which it was created. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registration(Arc<dyn Fn() + Send + Sync>);

impl Registration {
    /// Creates the registration of `entry` in `map`. Keeps neither of them alive.
    pub(crate) fn new<K, V>(map: &Arc<ShardedMap<K, Arc<V>>>, key: K, entry: Weak<V>) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let map = Arc::downgrade(map);
        Self(Arc::new(move || {
            if let (Some(map), Some(entry)) = (map.upgrade(), entry.upgrade()) {
                map.remove_if(&key, |found| Arc::ptr_eq(found, &entry));
            }
        }))
    }

    /// Removes the entry, unless another one has taken its place.
    pub(crate) fn end(&self) {
        (self.0)();
    }
}
