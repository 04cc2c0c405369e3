//! Memory budgets: the number of bytes of one kind held in total and by each owner, e.g. request bodies or server
//! responses. Bytes count until their last reference is dropped, wherever that is. No owner may hold more than a
//! quarter of the budget, so that one owner cannot exhaust it for the others.

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
const SHARES: usize = 4;

/// Divisor of a budget or an owner's limit that gives the free part required to start something new.
const HEADROOM: usize = 16;

/// Byte budget.
#[derive(Debug)]
pub struct Budget {
    all: usize,
    free: AtomicUsize,
    /// Bytes held by each owner that holds any. Locked only when a charge is opened or dropped, and for headroom
    /// checks.
    shares: Mutex<HashMap<Holder, Arc<AtomicUsize>>>,
}

/// Owner of charges, as an opaque hash: equal for the same owner, and not reversible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder(u64);

/// Bytes charged to a budget for one purpose.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    share: Option<(Holder, Arc<AtomicUsize>)>,
    bytes: usize,
}

/// Error of a budget without room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// The whole budget is used.
    Budget,
    /// The owner's limit is used.
    Share,
}

/// Bytes with their charge.
struct Held {
    bytes: Bytes,
    _charge: Charge,
}

impl Holder {
    /// Returns the owner identified by this key. The hash key is random per process, so owners cannot be computed
    /// outside of it.
    pub fn of(who: &impl Hash) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(who))
    }
}

impl Budget {
    /// Creates a budget of this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            all: bytes,
            free: AtomicUsize::new(bytes),
            shares: Mutex::default(),
        })
    }

    /// Opens an empty charge, counted for `holder` if given.
    pub fn open(self: &Arc<Self>, holder: Option<Holder>) -> Charge {
        let share = holder.map(|holder| {
            let mut shares = self.shares();
            (holder, Arc::clone(shares.entry(holder).or_default()))
        });
        Charge {
            budget: Arc::clone(self),
            share,
            bytes: 0,
        }
    }

    /// Returns an error if there is too little headroom to start something new: it would only fail at its end.
    /// Per-owner counters are read only if the total held exceeds one owner's limit.
    pub fn has_room(&self, holder: Holder) -> Result<(), Exhausted> {
        let free = self.free.load(Ordering::Relaxed);
        if free < self.all / HEADROOM {
            return Err(Exhausted::Budget);
        }
        let most = self.share() - self.share() / HEADROOM;
        if self.all - free <= most {
            return Ok(());
        }
        let held = self.shares().get(&holder).map(Arc::clone);
        match held {
            Some(held) if held.load(Ordering::Relaxed) > most => Err(Exhausted::Share),
            Some(_) | None => Ok(()),
        }
    }

    fn share(&self) -> usize {
        self.all / SHARES
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Holder, Arc<AtomicUsize>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge {
    /// Adds bytes to the charge. An owner whose only charge is this one may exceed its limit; otherwise anything larger
    /// than the limit could never be held.
    pub fn add(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let (own, most) = (self.bytes, self.budget.share());
        if let Some((_, share)) = &self.share {
            let more = |held: usize| {
                let after = held.saturating_add(bytes);
                (after <= most || held == own).then_some(after)
            };
            let taken = share.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            taken.map_err(|_too_much| Exhausted::Share)?;
        }
        let take = |free: usize| free.checked_sub(bytes);
        let free = &self.budget.free;
        let taken = free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if taken.is_err() {
            if let Some((_, share)) = &self.share {
                share.fetch_sub(bytes, Ordering::Relaxed);
            }
            return Err(Exhausted::Budget);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Extends the charge to cover this many bytes.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Exhausted> {
        match bytes.saturating_sub(self.bytes) {
            0 => Ok(()),
            more => self.add(more),
        }
    }

    /// Attaches the charge to these bytes; it is released with their last reference.
    pub fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held {
            bytes,
            _charge: self,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
        let Some((holder, share)) = self.share.take() else {
            return;
        };
        share.fetch_sub(self.bytes, Ordering::Relaxed);
        let mut shares = self.budget.shares();
        // Two references are this charge's and the map's: the owner holds nothing else and is removed.
        if Arc::strong_count(&share) <= 2 {
            shares.remove(&holder);
        }
        // Dropped before the lock is released, so that the next charge to end counts correctly.
        drop(share);
        drop(shares);
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
