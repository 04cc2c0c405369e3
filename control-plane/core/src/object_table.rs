//! Table of the objects of one kind, each with the revision of its last write. Cloning a table increments one
//! reference count. The first write after a clone copies the map but not the objects.

use std::{borrow::Borrow, collections::BTreeMap, sync::Arc};

use toolgate_model::{ObjectId, Slug};

use crate::port::Revision;

/// Object with the revision of its last write.
#[derive(Debug, PartialEq, Eq)]
pub struct VersionedObject<T> {
    /// Object.
    pub object: Arc<T>,
    /// Store revision of the last write: the resource version in the API.
    pub mod_revision: Revision,
}

/// Objects of one kind in key order.
#[derive(Debug, PartialEq, Eq)]
pub struct ObjectTable<K, T>(Arc<BTreeMap<K, VersionedObject<T>>>);

impl<K: Ord + Clone, T> ObjectTable<K, T> {
    /// Returns the object at `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&VersionedObject<T>>
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
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &VersionedObject<T>)> {
        self.0.iter()
    }

    /// Iterates over the objects after the key `after` in key order, for pagination.
    pub fn after(&self, after: Option<&K>) -> impl Iterator<Item = (&K, &VersionedObject<T>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.0.range((after.map_or(Unbounded, Excluded), Unbounded))
    }

    /// Iterates over the ids of the objects that an organization owns.
    pub fn owned_by<'a>(&'a self, org: &'a Slug) -> impl Iterator<Item = &'a K>
    where
        K: ObjectId,
    {
        let ids = self.0.keys();
        ids.filter(move |id| id.parts().0 == Some(org))
    }

    /// Returns `true` if both tables share one map, so that neither was written to since the clone.
    pub fn ptr_eq(&self, other: &Self) -> bool {
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
        Arc::make_mut(&mut self.0).insert(
            key,
            VersionedObject {
                object,
                mod_revision: modified,
            },
        );
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<VersionedObject<T>> {
        if !self.0.contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.0).remove(key)
    }
}

impl<T> VersionedObject<T> {
    /// Returns a shared reference to the object.
    pub fn to_arc(&self) -> Arc<T> {
        Arc::clone(&self.object)
    }
}

impl<T> std::ops::Deref for VersionedObject<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T> Clone for VersionedObject<T> {
    fn clone(&self) -> Self {
        Self {
            object: Arc::clone(&self.object),
            mod_revision: self.mod_revision,
        }
    }
}

impl<K, T> Clone for ObjectTable<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Default for ObjectTable<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
