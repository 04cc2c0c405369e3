//! Usage of the limits per token: of an API token, or of a principal of an identity provider with all its tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU32},
};

use toolgate_model::Principal;

use super::MAX_CALLER_EVENTS;
use crate::{event_limiter::EventLimiter, rate_limit::TokenRateLimiter};

/// Least number of principals at which unused ones are dropped.
const MIN_PRINCIPALS: usize = 16_384;

/// Usage of the limits per token.
#[derive(Debug, Default)]
pub(super) struct QuotaUsage {
    pub(super) running: AtomicU32,
    pub(super) rate_limiter: TokenRateLimiter,
    pub(super) release_limiter: TokenRateLimiter,
    pub(super) session_events: EventLimiter<MAX_CALLER_EVENTS>,
}

/// Usages of the principals of identity providers. Asked once for each proof. Another token of a principal, and another
/// gateway, find the usage as it is, also after the proof before was dropped.
#[derive(Debug, Default)]
pub(super) struct PrincipalUsages(Mutex<PrincipalTable>);

#[derive(Debug)]
struct PrincipalTable {
    usages: HashMap<Arc<Principal>, Arc<QuotaUsage>>,
    /// Number of principals at which those without a proof are dropped.
    sweep_at: usize,
}

impl Default for PrincipalTable {
    fn default() -> Self {
        let usages = HashMap::new();
        let sweep_at = MIN_PRINCIPALS;
        Self { usages, sweep_at }
    }
}

impl PrincipalUsages {
    /// Returns the usage of this principal.
    pub(super) fn get(&self, principal: &Arc<Principal>) -> Arc<QuotaUsage> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = table.usages.get(principal) {
            return Arc::clone(usage);
        }
        if table.usages.len() >= table.sweep_at {
            // Holders are counted under the lock: nothing begins to use an entry meanwhile.
            table.usages.retain(|_, usage| Arc::strong_count(usage) > 1);
            table.sweep_at = MIN_PRINCIPALS.max(2 * table.usages.len());
        }
        let usage = Arc::<QuotaUsage>::default();
        table
            .usages
            .insert(Arc::clone(principal), Arc::clone(&usage));
        usage
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().usages.len()
    }
}
