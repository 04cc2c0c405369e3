//! The calls in flight on one link, for what its server asks outside of any call's stream: it belongs to a call only if
//! there is exactly one that it can belong to.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

/// A call that hears what its server asks elsewhere.
pub trait Ear: Send + Sync {
    /// Takes a message; false if it cannot be taken now. Whether it asks for an answer decides if it may wait.
    fn hear(&self, message: &Bytes, asks: bool) -> bool;
}

/// Calls in flight on one link.
#[derive(Default)]
pub struct Callers {
    calls: Mutex<Calls>,
    listening: AtomicBool,
}

#[derive(Default)]
struct Calls {
    all: Vec<Weak<dyn Ear>>,
    /// How many have begun.
    begun: u64,
}

/// Which calls were in flight at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flying(u64);

impl Callers {
    /// A call begins; it ends when `ear` is dropped.
    pub fn enter(&self, ear: &Arc<dyn Ear>) {
        let mut calls = self.calls();
        calls.begun += 1;
        calls.all.push(Arc::downgrade(ear));
    }

    /// The server says this outside of any call's stream; whether it has been taken by the one call that it can belong
    /// to.
    pub fn hear(&self, message: &Bytes, asks: bool) -> bool {
        match &self.calls().all[..] {
            [only] => only.upgrade().is_some_and(|ear| ear.hear(message, asks)),
            _ => false,
        }
    }

    /// The calls in flight; none if there are none. As long as this stays the same no other has begun, and what the
    /// server said meanwhile cannot be older than the calls that hear it.
    pub fn flying(&self) -> Option<Flying> {
        let calls = self.calls();
        (!calls.all.is_empty()).then_some(Flying(calls.begun))
    }

    /// Whether whoever asks is to listen to the stream of the link from now on: nobody else does.
    pub fn listen(&self) -> bool {
        !self.listening.swap(true, Ordering::Relaxed)
    }

    /// Nobody listens any more.
    pub fn listened(&self) {
        self.listening.store(false, Ordering::Relaxed);
    }

    /// Those that have not ended.
    fn calls(&self) -> MutexGuard<'_, Calls> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.all.retain(|call| call.strong_count() > 0);
        calls
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callers({})", self.calls().all.len())
    }
}

#[cfg(test)]
mod tests;
