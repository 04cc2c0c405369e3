//! The objects of one kind, each with the revision of its last write. Cloning a shelf costs one reference count;
//! the first write after that copies the map, never the objects.

use std::{borrow::Borrow, collections::BTreeMap, sync::Arc};

use crate::port::Revision;

/// An object as it lies in the store.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The object.
    pub object: Arc<T>,
    /// Store revision of its last write: the resource version of the API.
    pub modified: Revision,
}

/// Objects of one kind, in key order.
#[derive(Debug, PartialEq, Eq)]
pub struct Shelf<K, T>(Arc<BTreeMap<K, Stored<T>>>);

impl<K: Ord + Clone, T> Shelf<K, T> {
    /// One of them.
    pub fn get<Q>(&self, key: &Q) -> Option<&Stored<T>>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.get(key)
    }

    /// Whether it is there.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.contains_key(key)
    }

    /// All, in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &Stored<T>)> {
        self.0.iter()
    }

    /// Those after `after`, in key order: the next page.
    pub fn after(&self, after: Option<&K>) -> impl Iterator<Item = (&K, &Stored<T>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.0.range((after.map_or(Unbounded, Excluded), Unbounded))
    }

    /// Whether nothing has been written to one since it was cloned from the other.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
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
    /// The object, shared.
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
