//! Receivers of the shared stream of one upstream session: its calls in flight. A message that the server sends outside of a call's stream is assigned to
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
pub(crate) trait ServerMessageReceiver: Send + Sync {
    /// Delivers a message. Returns `false` if the call cannot take it now. `is_request` is `true` for a request that
    /// needs a response; such a message may wait.
    fn deliver(&self, message: &Bytes, is_request: bool) -> bool;
}

/// Calls in flight on one upstream session, as receivers of its shared stream.
#[derive(Default)]
pub(crate) struct SharedStreamReceivers {
    calls: Mutex<RegisteredCalls>,
    stream_claimed: AtomicBool,
}

#[derive(Default)]
struct RegisteredCalls {
    all: Vec<Weak<dyn ServerMessageReceiver>>,
    /// Number of calls registered so far.
    generation: u64,
}

/// Snapshot of the calls in flight, for comparison with a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallGeneration(u64);

impl SharedStreamReceivers {
    /// Registers a call. The call ends when `receiver` is dropped.
    pub(crate) fn register(&self, receiver: &Arc<dyn ServerMessageReceiver>) {
        let mut calls = self.live_calls();
        calls.generation += 1;
        calls.all.push(Arc::downgrade(receiver));
    }

    /// Delivers a message that the server sent outside of a call's stream. Returns `true` if exactly one call is in
    /// flight and it took the message.
    pub(crate) fn deliver_to_sole_call(&self, message: &Bytes, is_request: bool) -> bool {
        match &self.live_calls().all[..] {
            [only] => only
                .upgrade()
                .is_some_and(|receiver| receiver.deliver(message, is_request)),
            _ => false,
        }
    }

    /// Returns the current generation, or `None` if no call is in flight. While the value is unchanged, no further
    /// call has begun, so a message received meanwhile is not older than the calls that receive it.
    pub(crate) fn generation(&self) -> Option<CallGeneration> {
        let calls = self.live_calls();
        (!calls.all.is_empty()).then_some(CallGeneration(calls.generation))
    }

    /// Claims the session's stream. Returns `true` if the claimant is now its only reader.
    pub(crate) fn listen(&self) -> bool {
        !self.stream_claimed.swap(true, Ordering::Relaxed)
    }

    /// Releases the claim on the session's stream.
    pub(crate) fn release_stream(&self) {
        self.stream_claimed.store(false, Ordering::Relaxed);
    }

    /// Locks the calls and removes those already ended.
    fn live_calls(&self) -> MutexGuard<'_, RegisteredCalls> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.all.retain(|call| call.strong_count() > 0);
        calls
    }
}

impl fmt::Debug for SharedStreamReceivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedStreamReceivers({})", self.live_calls().all.len())
    }
}

#[cfg(test)]
mod tests;
