//! Table of the objects of one kind, each with the revision of its last write. Cloning a table increments one
//! reference count. The first write after a clone copies the map but not the objects.

use std::{borrow::Borrow, collections::BTreeMap, sync::Arc};

use crate::port::Revision;

/// Object with the revision of its last write.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Object.
    pub object: Arc<T>,
    /// Store revision of the last write: the resource version in the API.
    pub modified: Revision,
}

/// Objects of one kind in key order.
#[derive(Debug, PartialEq, Eq)]
pub struct Shelf<K, T>(Arc<BTreeMap<K, Stored<T>>>);

impl<K: Ord + Clone, T> Shelf<K, T> {
    /// Returns the object at `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&Stored<T>>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.get(key)
    }

    /// Returns `true` if the table contains `key`.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.contains_key(key)
    }

    /// Iterates over all objects in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &Stored<T>)> {
        self.0.iter()
    }

    /// Iterates over the objects after the key `after` in key order, for pagination.
    pub fn after(&self, after: Option<&K>) -> impl Iterator<Item = (&K, &Stored<T>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.0.range((after.map_or(Unbounded, Excluded), Unbounded))
    }

    /// Returns `true` if both tables share one map, so that neither was written to since the clone.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the number of objects.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if the table is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn put(&mut self, key: K, object: Arc<T>, modified: Revision) {
        Arc::make_mut(&mut self.0).insert(key, Stored { object, modified });
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<Stored<T>> {
        if !self.0.contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.0).remove(key)
    }
}

impl<T> Stored<T> {
    /// Returns a shared reference to the object.
    pub fn share(&self) -> Arc<T> {
        Arc::clone(&self.object)
    }
}

impl<T> std::ops::Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self {
            object: Arc::clone(&self.object),
            modified: self.modified,
        }
    }
}

impl<K, T> Clone for Shelf<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
