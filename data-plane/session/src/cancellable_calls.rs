//! Calls of legacy clients that have no answer yet. `notifications/cancelled` finds its call here.

use std::{fmt, sync::Arc};

use tokio::sync::Notify;
use toolgate_data_core::{
    Refusal,
    session::session_id::{RANDOM_LEN, SessionClaims},
};

use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner};

use crate::sharded_map::{MapFull, ShardedMap};

/// Maximum number of calls in flight for legacy clients on one proxy.
pub const CANCELLABLE_CALLS: usize = 100_000;

/// Maximum number of counted calls in flight of one principal. Calls are counted by principal once twice as many are in
/// flight in total; below that there is room for all calls.
pub const CANCELLABLE_CALLS_PER_PRINCIPAL: usize = CANCELLABLE_CALLS / 4;

/// Calls in flight that a legacy client can cancel, by session and request id. Cheap to clone.
#[derive(Clone)]
pub struct CancellableCalls {
    calls: Arc<ShardedMap<CallKey, Arc<Notify>>>,
    principals: Arc<Quota>,
}

/// Registration of one call, which can be cancelled until this is dropped.
#[must_use = "the call can be cancelled only until the guard is dropped"]
pub struct CancellableCallGuard {
    calls: Arc<ShardedMap<CallKey, Arc<Notify>>>,
    key: CallKey,
    cancelled: Arc<Notify>,
    /// Quota of the principal, if the call is counted.
    _permit: Option<QuotaPermit>,
}

/// Cancels one call without its id.
#[derive(Debug, Clone)]
pub struct CancelHandle(Arc<Notify>);

type CallKey = ([u8; RANDOM_LEN], Arc<str>);

impl CancellableCalls {
    /// Creates an empty registry with a quota per principal.
    pub fn new(quota: usize) -> Self {
        Self {
            calls: Arc::new(ShardedMap::new(CANCELLABLE_CALLS)),
            principals: Quota::new(quota),
        }
    }

    /// Registers a call of a session under its id, a literal as written. An id in use is refused, because the answers
    /// of the two calls could not be told apart.
    pub fn enter(
        &self,
        session: &SessionClaims,
        holder: BudgetOwner,
        id: &str,
    ) -> Result<CancellableCallGuard, Refusal> {
        let crowded = self.calls.len() >= self.principals.limit().saturating_mul(2);
        let permit = crowded.then(|| self.principals.acquire(holder));
        let permit = permit.map(|permit| permit.ok_or(Refusal::TooManyOpen("calls")));
        let permit = permit.transpose()?;
        let key = (session.random, Arc::from(id));
        let cancelled = Arc::new(Notify::new());
        let entered = self.calls.get_or_insert(&key, || Arc::clone(&cancelled));
        let entered = entered.map_err(|MapFull| Refusal::Overloaded)?;
        if !Arc::ptr_eq(&entered, &cancelled) {
            return Err(Refusal::InvalidRequest(
                "this `id` is in use by a request that has no answer yet",
            ));
        }
        Ok(CancellableCallGuard {
            calls: Arc::clone(&self.calls),
            key,
            cancelled,
            _permit: permit,
        })
    }

    /// Cancels a call. Returns `false` if it is not in flight.
    pub fn cancel(&self, session: &SessionClaims, id: &str) -> bool {
        let found = self.calls.get(&(session.random, Arc::from(id)));
        if let Some(call) = &found {
            call.notify_one();
        }
        found.is_some()
    }

    /// Returns the number of calls in flight.
    pub fn count(&self) -> usize {
        self.calls.len()
    }
}

impl CancelHandle {
    /// Cancels the call. The cancellation is stored until the call waits for it.
    pub fn cancel(&self) {
        self.0.notify_one();
    }

    /// Waits until the call is cancelled.
    pub async fn cancelled(&self) {
        self.0.notified().await;
    }
}

impl CancellableCallGuard {
    /// Returns a handle that cancels the call.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(Arc::clone(&self.cancelled))
    }

    /// Waits until the call is cancelled. A cancellation that came before is not lost.
    pub async fn cancelled(&self) {
        self.cancelled.notified().await;
    }
}

impl Drop for CancellableCallGuard {
    fn drop(&mut self) {
        self.calls.remove_if(&self.key, |_call| true);
    }
}

impl fmt::Debug for CancellableCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancellableCalls({})", self.count())
    }
}

impl fmt::Debug for CancellableCallGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancellableCallGuard({})", self.key.1)
    }
}

#[cfg(test)]
mod tests;
