//! How many bytes of one kind are held, altogether: bodies of requests, answers of servers. What is held is counted
//! until the last piece of it is dropped, wherever that is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

/// What may be held.
#[derive(Debug)]
pub struct Budget {
    free: AtomicUsize,
}

/// What is held of it for one purpose.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

/// There is no room for more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// Bytes with their charge.
struct Held {
    bytes: Bytes,
    _charge: Charge,
}

impl Budget {
    /// Of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        let free = AtomicUsize::new(bytes);
        Arc::new(Self { free })
    }

    /// A charge of nothing yet.
    pub fn open(self: &Arc<Self>) -> Charge {
        Charge {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Charge {
    /// Takes so many more.
    pub fn add(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let take = |free: usize| free.checked_sub(bytes);
        let taken = self
            .budget
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_too_few| Exhausted)?;
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
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
