//! Calls in flight on one upstream session. A message that the server sends outside of a call's stream is assigned to
//! a call only if exactly one call is in flight.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

/// Call that receives messages which its server sends outside of the call's own stream.
pub trait Ear: Send + Sync {
    /// Delivers a message. Returns `false` if the call cannot take it now. `asks` is `true` for a request that needs a
    /// response; such a message may wait.
    fn hear(&self, message: &Bytes, asks: bool) -> bool;
}

/// Calls in flight on one upstream session.
#[derive(Default)]
pub struct Callers {
    calls: Mutex<Calls>,
    listening: AtomicBool,
}

#[derive(Default)]
struct Calls {
    all: Vec<Weak<dyn Ear>>,
    /// Number of calls registered so far.
    begun: u64,
}

/// Snapshot of the calls in flight, for comparison with a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flying(u64);

impl Callers {
    /// Registers a call. The call ends when `ear` is dropped.
    pub fn enter(&self, ear: &Arc<dyn Ear>) {
        let mut calls = self.calls();
        calls.begun += 1;
        calls.all.push(Arc::downgrade(ear));
    }

    /// Delivers a message that the server sent outside of a call's stream. Returns `true` if exactly one call is in
    /// flight and it took the message.
    pub fn hear(&self, message: &Bytes, asks: bool) -> bool {
        match &self.calls().all[..] {
            [only] => only.upgrade().is_some_and(|ear| ear.hear(message, asks)),
            _ => false,
        }
    }

    /// Returns the current generation, or `None` if no call is in flight. While the value is unchanged, no further
    /// call has begun, so a message received meanwhile is not older than the calls that receive it.
    pub fn flying(&self) -> Option<Flying> {
        let calls = self.calls();
        (!calls.all.is_empty()).then_some(Flying(calls.begun))
    }

    /// Claims the session's stream. Returns `true` if the claimant is now its only reader.
    pub fn listen(&self) -> bool {
        !self.listening.swap(true, Ordering::Relaxed)
    }

    /// Releases the claim on the session's stream.
    pub fn listened(&self) {
        self.listening.store(false, Ordering::Relaxed);
    }

    /// Locks the calls and removes those already ended.
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
