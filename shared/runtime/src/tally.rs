//! Quotas: a maximum number of items per owner, so that no owner takes all of a shared resource. A permit is released
//! when dropped, wherever that is.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::budget::Holder;

/// Counter per owner. Owners without permits are not stored, so the map is never larger than the number of permits.
#[derive(Debug)]
pub struct Tally {
    most: usize,
    counts: Mutex<HashMap<Holder, usize>>,
}

/// Permit for one unit of an owner's quota, held until dropped.
#[must_use = "it is given back when this is dropped"]
pub struct Taken {
    tally: Arc<Tally>,
    holder: Holder,
}

impl Tally {
    /// Creates a quota of `most` units for each owner.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            counts: Mutex::default(),
        })
    }

    /// Acquires a permit for this owner; `None` if the owner's quota is used up.
    pub fn take(self: &Arc<Self>, holder: Holder) -> Option<Taken> {
        let mut counts = self.counts();
        let before = counts.get(&holder).copied().unwrap_or_default();
        if before >= self.most {
            return None;
        }
        counts.insert(holder, before + 1);
        drop(counts);
        let tally = Arc::clone(self);
        Some(Taken { tally, holder })
    }

    /// Returns the limit of each owner.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Returns the number of owners that hold permits.
    pub fn holders(&self) -> usize {
        self.counts().len()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut counts = self.tally.counts();
        let left = counts
            .get(&self.holder)
            .map(|count| count.saturating_sub(1));
        match left {
            Some(left) if left > 0 => {
                counts.insert(self.holder, left);
            }
            Some(_) | None => {
                counts.remove(&self.holder);
            }
        }
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Taken({:?})", self.holder)
    }
}

#[cfg(test)]
mod tests;
