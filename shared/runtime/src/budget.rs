//! Memory budgets: the number of bytes of one kind held in total and by each owner, e.g. request bodies or server
//! responses. Bytes count until their last reference is dropped, wherever that is.
//!
//! With several charges, no owner may hold more than a quarter of the budget, nor more than half of what it leaves free.
//! However many owners hold all that they can, an owner that holds nothing gets a third of the rest.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

/// Divisor of the budget that gives the limit of one owner.
const OWNER_LIMIT_DIVISOR: usize = 4;

/// Divisor of what is left free that gives the limit of one owner.
const FREE_LIMIT_DIVISOR: usize = 2;

/// Divisor of the budget that gives the free part below which slow holders are ended early.
const PRESSURE_DIVISOR: usize = 2;

/// Divisor of a budget or an owner's limit that gives the free part required to start something new.
const HEADROOM_DIVISOR: usize = 16;

/// Byte budget.
#[derive(Debug)]
pub struct MemoryBudget {
    total: usize,
    free: AtomicUsize,
    /// Bytes held by each owner that holds any. Locked only when a charge is opened or dropped, and for headroom
    /// checks.
    owners: Mutex<HashMap<BudgetOwner, Arc<AtomicUsize>>>,
}

/// Owner of charges, as an opaque hash: equal for the same owner, and not reversible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BudgetOwner(u64);

/// Bytes charged to a budget for one purpose.
#[derive(Debug)]
pub struct BudgetCharge {
    budget: Arc<MemoryBudget>,
    owner: Option<(BudgetOwner, Arc<AtomicUsize>)>,
    bytes: usize,
}

/// Error of a budget without room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetExceeded {
    /// The whole budget is used.
    Total,
    /// The owner's limit is used.
    OwnerLimit,
}

/// Bytes with their charge.
struct ChargedBytes {
    bytes: Bytes,
    _charge: BudgetCharge,
}

impl BudgetOwner {
    /// Returns the owner identified by this key. The hash key is random per process, so owners cannot be computed
    /// outside of it.
    pub fn of(owner: &impl Hash) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(owner))
    }
}

impl MemoryBudget {
    /// Creates a budget of this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            total: bytes,
            free: AtomicUsize::new(bytes),
            owners: Mutex::default(),
        })
    }

    /// Opens an empty charge, counted for `holder` if given.
    pub fn open(self: &Arc<Self>, holder: Option<BudgetOwner>) -> BudgetCharge {
        let share = holder.map(|holder| {
            let mut shares = self.owners();
            (holder, Arc::clone(shares.entry(holder).or_default()))
        });
        BudgetCharge {
            budget: Arc::clone(self),
            owner: share,
            bytes: 0,
        }
    }

    /// Returns an error if there is too little headroom to start something new: it would only fail at its end. An owner
    /// that holds nothing can always start: what it starts may need nothing.
    /// Per-owner counters are read only if the total held exceeds one owner's limit.
    pub fn has_room(&self, holder: BudgetOwner) -> Result<(), BudgetExceeded> {
        let free = self.free.load(Ordering::Relaxed);
        let most = |limit: usize| limit - limit / HEADROOM_DIVISOR;
        if self.total - free <= most(self.owner_limit()) {
            return Ok(());
        }
        let held = self.owners().get(&holder).map(Arc::clone);
        let held = held.map_or(0, |held| held.load(Ordering::Relaxed));
        // The largest amount that an owner with this much may hold beside the others.
        let limit = self
            .owner_limit()
            .min((free + held) / (FREE_LIMIT_DIVISOR + 1));
        match held {
            0 => Ok(()),
            _ if free < self.total / HEADROOM_DIVISOR => Err(BudgetExceeded::Total),
            held if held > most(limit) => Err(BudgetExceeded::OwnerLimit),
            _ => Ok(()),
        }
    }

    /// Returns `true` if so little is free that slow holders have to release what they hold earlier than otherwise.
    pub fn is_under_pressure(&self) -> bool {
        self.free.load(Ordering::Relaxed) < self.total / PRESSURE_DIVISOR
    }

    fn owner_limit(&self) -> usize {
        self.total / OWNER_LIMIT_DIVISOR
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<BudgetOwner, Arc<AtomicUsize>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BudgetCharge {
    /// Adds bytes to the charge. An owner whose only charge is this one may exceed its limit; otherwise anything larger
    /// than the limit could never be held.
    pub fn add(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        let (own, budget) = (self.bytes, &self.budget);
        if let Some((_, share)) = &self.owner {
            let free = budget.free.load(Ordering::Relaxed).saturating_sub(bytes);
            let most = budget.owner_limit().min(free / FREE_LIMIT_DIVISOR);
            let more = |held: usize| {
                let after = held.saturating_add(bytes);
                (after <= most || held == own).then_some(after)
            };
            let taken = share.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            taken.map_err(|_too_much| BudgetExceeded::OwnerLimit)?;
        }
        let take = |free: usize| free.checked_sub(bytes);
        let free = &budget.free;
        let taken = free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if taken.is_err() {
            if let Some((_, share)) = &self.owner {
                share.fetch_sub(bytes, Ordering::Relaxed);
            }
            return Err(BudgetExceeded::Total);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Extends the charge to cover this many bytes.
    pub fn cover(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        match bytes.saturating_sub(self.bytes) {
            0 => Ok(()),
            more => self.add(more),
        }
    }

    /// Attaches the charge to these bytes; it is released with their last reference.
    pub fn attach(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(ChargedBytes {
            bytes,
            _charge: self,
        })
    }
}

impl Drop for BudgetCharge {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
        let Some((holder, share)) = self.owner.take() else {
            return;
        };
        share.fetch_sub(self.bytes, Ordering::Relaxed);
        let mut shares = self.budget.owners();
        // Two references are this charge's and the map's: the owner holds nothing else and is removed.
        if Arc::strong_count(&share) <= 2 {
            shares.remove(&holder);
        }
        // Dropped before the lock is released, so that the next charge to end counts correctly.
        drop(share);
        drop(shares);
    }
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
