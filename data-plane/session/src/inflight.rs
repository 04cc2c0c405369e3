//! Calls of legacy clients that have no answer yet, so that a cancellation finds the call that it means.

use std::{fmt, sync::Arc};

use tokio::sync::Notify;
use toolgate_data_core::{
    Refusal,
    session::session_id::{RANDOM_LEN, SessionClaims},
};

use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner};

use crate::sharded_map::{MapFull, ShardedMap};

/// Calls that one proxy has in flight for legacy clients.
pub const IN_FLIGHT: usize = 100_000;

/// Of these, how many of one principal, once it is counted whose they are: from twice as many on. Below that there is
/// plenty, and who calls is not looked at.
pub const IN_FLIGHT_PER_PRINCIPAL: usize = IN_FLIGHT / 4;

/// What is in flight. Cheap to clone.
#[derive(Clone)]
pub struct InFlight {
    calls: Arc<ShardedMap<CallKey, Arc<Notify>>>,
    principals: Arc<Quota>,
}

/// While it lives, the call can be cancelled.
#[must_use = "the call can be cancelled only while the guard lives"]
pub struct InFlightGuard {
    calls: Arc<ShardedMap<CallKey, Arc<Notify>>>,
    key: CallKey,
    cancelled: Arc<Notify>,
    /// Its place among those of its principal, if it came when they were counted.
    _share: Option<QuotaPermit>,
}

/// Takes one call back, for as long as it runs.
#[derive(Debug, Clone)]
pub struct TakeBack(Arc<Notify>);

type CallKey = ([u8; RANDOM_LEN], Arc<str>);

impl InFlight {
    /// Nothing yet; so many of one principal at most, of those that are counted.
    pub fn new(share: usize) -> Self {
        Self {
            calls: Arc::new(ShardedMap::new(IN_FLIGHT)),
            principals: Quota::new(share),
        }
    }

    /// A call begins: the session's, under this id (the literal as written). An id in use is refused, since an answer
    /// could be taken for another's.
    pub fn enter(
        &self,
        session: &SessionClaims,
        holder: BudgetOwner,
        id: &str,
    ) -> Result<InFlightGuard, Refusal> {
        let crowded = self.calls.len() >= self.principals.limit().saturating_mul(2);
        let share = crowded.then(|| self.principals.acquire(holder));
        let share = share.map(|share| share.ok_or(Refusal::TooManyOpen("calls")));
        let share = share.transpose()?;
        let key = (session.random, Arc::from(id));
        let cancelled = Arc::new(Notify::new());
        let entered = self.calls.get_or_insert(&key, || Arc::clone(&cancelled));
        let entered = entered.map_err(|MapFull| Refusal::Overloaded)?;
        if !Arc::ptr_eq(&entered, &cancelled) {
            return Err(Refusal::InvalidRequest(
                "this `id` is in use by a request that has no answer yet",
            ));
        }
        Ok(InFlightGuard {
            calls: Arc::clone(&self.calls),
            key,
            cancelled,
            _share: share,
        })
    }

    /// Cancels a call; whether it was there.
    pub fn cancel(&self, session: &SessionClaims, id: &str) -> bool {
        let found = self.calls.get(&(session.random, Arc::from(id)));
        if let Some(call) = &found {
            // Kept until somebody looks, if nobody is waiting yet.
            call.notify_one();
        }
        found.is_some()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.calls.len()
    }
}

impl TakeBack {
    /// Takes it back. Kept until somebody looks, if nobody is waiting yet.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

impl InFlightGuard {
    /// For who may have to take the call back without knowing its id.
    pub fn take_back(&self) -> TakeBack {
        TakeBack(Arc::clone(&self.cancelled))
    }

    /// Ends when the client cancels the call.
    pub async fn cancelled(&self) {
        self.cancelled.notified().await;
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.calls.remove_if(&self.key, |_call| true);
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InFlight({})", self.count())
    }
}

impl fmt::Debug for InFlightGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InFlightGuard({})", self.key.1)
    }
}

#[cfg(test)]
mod tests;
