//! Bulkhead of one server: the number of calls that it gets at a time from this proxy, and the share of one principal
//! when it is crowded. The number is what Envoy calls "max requests" of a circuit breaker.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner};

/// Divisor of the maximum number of calls that gives the number from which a server is crowded: further calls are shared
/// out among principals. Below it, callers are not counted.
const CROWDED_DIVISOR: usize = 2;

/// Divisor of the calls beyond the crowd that gives the maximum number of one principal.
const CROWDED_SHARE_DIVISOR: usize = 2;

/// Calls at one server.
pub(crate) struct Bulkhead {
    calls: AtomicUsize,
    limit: usize,
    crowded: usize,
    /// Callers that arrived when the server was crowded.
    quota: Arc<Quota>,
}

/// Place of a call in a [`Bulkhead`], until it is dropped.
pub(crate) struct BulkheadPermit {
    bulkhead: Arc<Bulkhead>,
    _quota: Option<QuotaPermit>,
}

impl Bulkhead {
    /// Creates the bulkhead of a server that gets at most `limit` calls at a time.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let crowded = limit / CROWDED_DIVISOR;
        let share = (limit - crowded) / CROWDED_SHARE_DIVISOR;
        Arc::new(Self {
            calls: AtomicUsize::new(0),
            limit,
            crowded,
            quota: Quota::new(share.max(1)),
        })
    }

    /// Takes a place. Requests of the proxy itself have no holder and are not subject to the quota.
    pub(crate) fn enter(
        self: &Arc<Self>,
        holder: Option<BudgetOwner>,
    ) -> Result<BulkheadPermit, UpstreamFailure> {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        // Made before the checks: a place that is refused is given back by its drop.
        let mut permit = BulkheadPermit {
            bulkhead: Arc::clone(self),
            _quota: None,
        };
        if before >= self.limit {
            return Err(UpstreamFailure::Busy);
        }
        if let Some(holder) = holder.filter(|_| before >= self.crowded) {
            let quota = self.quota.acquire(holder);
            permit._quota = Some(quota.ok_or(UpstreamFailure::Busy)?);
        }
        Ok(permit)
    }
}

#[cfg(test)]
impl Bulkhead {
    /// Returns the number of calls, and of principals that are counted.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.calls.load(Ordering::Relaxed), self.quota.owners())
    }
}

impl Drop for BulkheadPermit {
    fn drop(&mut self) {
        self.bulkhead.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
