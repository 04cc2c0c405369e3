//! Bulkhead of one server: the number of calls that it gets at a time from this proxy, and the share of one principal
//! when it is crowded. The number is what Envoy calls "max requests" of a circuit breaker.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner};

/// Maximum number of calls at one server at a time.
pub(crate) const CALLS_PER_SERVER: usize = 1024;

/// Number of calls from which a server is crowded: further calls are shared out among principals. Below it, callers are
/// not counted.
pub(crate) const CROWDED: usize = CALLS_PER_SERVER / 2;

/// Maximum number of calls of one principal among those beyond [`CROWDED`].
pub(crate) const CROWDED_SHARE: usize = CROWDED / 2;

/// Calls at one server.
pub(crate) struct Bulkhead {
    calls: AtomicUsize,
    /// Callers that arrived when the server was crowded.
    quota: Arc<Quota>,
}

/// Place of a call in a [`Bulkhead`], until it is dropped.
pub(crate) struct BulkheadPermit {
    bulkhead: Arc<Bulkhead>,
    _quota: Option<QuotaPermit>,
}

impl Bulkhead {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicUsize::new(0),
            quota: Quota::new(CROWDED_SHARE),
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
        if before >= CALLS_PER_SERVER {
            return Err(UpstreamFailure::Busy);
        }
        if let Some(holder) = holder.filter(|_| before >= CROWDED) {
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
