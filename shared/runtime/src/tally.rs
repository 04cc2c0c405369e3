//! How many of something each holder has, so that no one of them has what is there for all. What was taken is given back
//! by being dropped, wherever that is.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::budget::Holder;

/// A number for each holder that has any. Nobody else is remembered, so that it is never longer than what it counts.
#[derive(Debug)]
pub struct Tally {
    most: usize,
    counts: Mutex<HashMap<Holder, usize>>,
}

/// One of those that its holder may have, until it is dropped.
#[must_use = "it is given back when this is dropped"]
pub struct Taken {
    tally: Arc<Tally>,
    holder: Holder,
}

impl Tally {
    /// Of which each holder may have so many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            counts: Mutex::default(),
        })
    }

    /// One more for this holder; none if it has all that it may have.
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

    /// How many each may have.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many have something.
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
