//! How many bytes of request bodies are held, altogether. What is held is counted until the last piece of it is
//! dropped, wherever that is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use toolgate_data_core::Refusal;

/// What may be held.
#[derive(Debug)]
pub(crate) struct Budget {
    free: AtomicUsize,
}

/// What one body holds of it.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

/// A body with its charge.
struct Held {
    bytes: Bytes,
    _charge: Charge,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let free = AtomicUsize::new(bytes);
        Arc::new(Self { free })
    }

    /// A charge of nothing yet.
    pub(crate) fn open(self: &Arc<Self>) -> Charge {
        Charge {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Charge {
    /// Takes so many more.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        let take = |free: usize| free.checked_sub(bytes);
        let taken = self
            .budget
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_exhausted| Refusal::Overloaded)?;
        self.bytes += bytes;
        Ok(())
    }

    /// These bytes, which give back the charge with their last share.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
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
