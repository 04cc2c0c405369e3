//! Quotas: a maximum number of items per owner, so that no owner takes all of a shared resource. A permit is released
//! when dropped, wherever that is.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::budget::BudgetOwner;

/// Counter per owner. Owners without permits are not stored, so the map is never larger than the number of permits.
#[derive(Debug)]
pub struct Quota {
    limit: usize,
    counts: Mutex<HashMap<BudgetOwner, usize>>,
}

/// Permit for one unit of an owner's quota, held until dropped.
#[must_use = "it is given back when this is dropped"]
pub struct QuotaPermit {
    quota: Arc<Quota>,
    owner: BudgetOwner,
}

impl Quota {
    /// Creates a quota of `most` units for each owner.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: most,
            counts: Mutex::default(),
        })
    }

    /// Acquires a permit for this owner; `None` if the owner's quota is used up.
    pub fn acquire(self: &Arc<Self>, holder: BudgetOwner) -> Option<QuotaPermit> {
        let mut counts = self.counts();
        let before = counts.get(&holder).copied().unwrap_or_default();
        if before >= self.limit {
            return None;
        }
        counts.insert(holder, before + 1);
        drop(counts);
        let quota = Arc::clone(self);
        Some(QuotaPermit {
            quota,
            owner: holder,
        })
    }

    /// Returns the limit of each owner.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the number of owners that hold permits.
    pub fn owners(&self) -> usize {
        self.counts().len()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<BudgetOwner, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        let mut counts = self.quota.counts();
        let remaining = counts.get(&self.owner).map(|count| count.saturating_sub(1));
        match remaining {
            Some(remaining) if remaining > 0 => {
                counts.insert(self.owner, remaining);
            }
            Some(_) | None => {
                counts.remove(&self.owner);
            }
        }
    }
}

impl fmt::Debug for QuotaPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuotaPermit({:?})", self.owner)
    }
}

#[cfg(test)]
mod tests;
