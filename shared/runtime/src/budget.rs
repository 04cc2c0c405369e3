//! How many bytes of one kind are held, altogether and by each holder: bodies of requests, answers of servers. What is
//! held is counted until the last piece of it is dropped, wherever that is. No holder has more than a quarter, so that
//! nobody takes the room of the others.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

/// What part of a budget one holder may have: one in so many.
const SHARES: usize = 4;

/// What part of a budget, or of a share, has to be free for something new to begin: one in so many.
const HEADROOM: usize = 16;

/// What may be held.
#[derive(Debug)]
pub struct Budget {
    all: usize,
    free: AtomicUsize,
    /// What is held by those who hold something. Looked at when something begins or ends to be held.
    shares: Mutex<HashMap<Holder, Arc<AtomicUsize>>>,
}

/// Whoever holds something. Says nothing of who that is, but that it is the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder(u64);

/// What is held of a budget for one purpose.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    share: Option<(Holder, Arc<AtomicUsize>)>,
    bytes: usize,
}

/// There is no room for more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// For nobody.
    Budget,
    /// For this holder, who has its share.
    Share,
}

/// Bytes with their charge.
struct Held {
    bytes: Bytes,
    _charge: Charge,
}

impl Holder {
    /// This one. Who is who cannot be worked out from outside of this process.
    pub fn of(who: &impl Hash) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(who))
    }
}

impl Budget {
    /// Of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            all: bytes,
            free: AtomicUsize::new(bytes),
            shares: Mutex::default(),
        })
    }

    /// A charge of nothing yet, of this holder's if it is anybody's.
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

    /// Whether something new may begin: what is held only at its end would be for nothing. Most of the time not enough
    /// is held for anybody to have a share, and nobody's is looked at.
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
    /// Takes so many more. What a holder holds alone may be more than its share: else what is larger could never be.
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

    /// Takes as many more as it needs to cover so many.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Exhausted> {
        match bytes.saturating_sub(self.bytes) {
            0 => Ok(()),
            more => self.add(more),
        }
    }

    /// These bytes, which give back the charge with their last share.
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
        // Ours and the budget's: who holds nothing any more is forgotten.
        if Arc::strong_count(&share) <= 2 {
            shares.remove(&holder);
        }
        // Before the lock: who ends next has to count right.
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
