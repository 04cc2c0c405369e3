//! Table of the objects of one kind, each with the revision of its last write. Clones share their content. A write
//! copies the path to one entry and shares all others with the clones, so that its cost does not grow with the table.

use std::{borrow::Borrow, fmt, sync::Arc};

use rpds::RedBlackTreeMapSync;
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
pub struct ObjectTable<K, T> {
    objects: RedBlackTreeMapSync<K, VersionedObject<T>>,
    /// Replaced by every write, so that clones are known to be equal without a comparison of their content.
    written: Arc<()>,
}

impl<K: Ord + Clone, T> ObjectTable<K, T> {
    /// Returns the object at `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&VersionedObject<T>>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.objects.get(key)
    }

    /// Returns `true` if the table contains `key`.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.objects.contains_key(key)
    }

    /// Iterates over all objects in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &VersionedObject<T>)> {
        self.objects.iter()
    }

    /// Iterates over the objects after the key `after` in key order, for pagination.
    pub fn after(&self, after: Option<&K>) -> impl Iterator<Item = (&K, &VersionedObject<T>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = after.map_or(Unbounded, Excluded);
        self.objects.range::<K, _>((after, Unbounded))
    }

    /// Iterates over the ids of the objects that an organization owns, without visiting other objects.
    pub fn owned_by<'a>(&'a self, org: &'a Slug) -> impl Iterator<Item = &'a K>
    where
        K: ObjectId,
    {
        use std::ops::Bound::{Included, Unbounded};
        // The smallest possible id of the organization: ids start with a letter.
        let first = "a".parse().ok();
        let first = first.and_then(|id| K::from_parts(Some(org.clone()), id));
        let rest = first.map(|first| self.objects.range::<K, _>((Included(first), Unbounded)));
        let ids = rest.into_iter().flatten().map(|(id, _)| id);
        ids.take_while(move |id| id.parts().0 == Some(org))
    }

    /// Returns `true` if one table is a clone of the other and neither was written to since.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.written, &other.written)
    }

    /// Returns the number of objects.
    pub fn len(&self) -> usize {
        self.objects.size()
    }

    /// Returns `true` if the table is empty.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(crate) fn put(&mut self, key: K, object: Arc<T>, modified: Revision) {
        let stored = VersionedObject {
            object,
            mod_revision: modified,
        };
        self.objects.insert_mut(key, stored);
        self.written = Arc::default();
    }

    /// Removes the object at `key`, if there is one.
    pub(crate) fn remove(&mut self, key: &K) {
        if self.objects.remove_mut(key) {
            self.written = Arc::default();
        }
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

impl<K: Ord, T> Clone for ObjectTable<K, T> {
    fn clone(&self) -> Self {
        Self {
            objects: self.objects.clone(),
            written: Arc::clone(&self.written),
        }
    }
}

impl<K: Ord, T> Default for ObjectTable<K, T> {
    fn default() -> Self {
        Self {
            objects: RedBlackTreeMapSync::new_sync(),
            written: Arc::default(),
        }
    }
}

impl<K: Ord, T: PartialEq> PartialEq for ObjectTable<K, T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.written, &other.written) || self.objects == other.objects
    }
}

impl<K: Ord, T: Eq> Eq for ObjectTable<K, T> {}

impl<K: fmt::Debug + Ord, T: fmt::Debug> fmt::Debug for ObjectTable<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.objects.iter()).finish()
    }
}
