//! Limits of concurrent requests, per API token or principal of an identity provider and in total, and the rate limit per
//! token of `rate_limit/per_token.rs`. Evaluated before a body is read, so that a refusal is cheap; messages that release resources
//! have a rate of their own, see `release_rate.rs`. A proof that is revoked or removed ends its running requests here.

mod quota_usage;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;
use toolgate_data_core::{AuthnId, AuthnKind, Caller, Refusal};
use toolgate_model::PrincipalSubject;
use toolgate_runtime::budget::BudgetOwner;

use crate::{
    event_limiter::EventLimiter,
    release_rate::{RELEASE_BURST, RELEASE_RATE},
};

use quota_usage::{PrincipalUsages, QuotaUsage};

/// Limits of requests. Those per token are, for callers of identity providers, per principal: the number of tokens of a
/// subject is not limited.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// Maximum number of concurrent requests.
    pub requests: u32,
    /// Maximum number of concurrent requests per token.
    pub requests_per_token: u32,
    /// Rate limit per token, in requests per second; unlimited if `None`.
    pub rate_per_token: Option<u32>,
    /// Number of requests that may arrive at once before the rate applies.
    pub burst_per_token: u32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            requests: 16_384,
            requests_per_token: 2_048,
            rate_per_token: None,
            burst_per_token: 100,
        }
    }
}

/// Maximum number of events in a second about refused session ids of one token.
pub(crate) const MAX_CALLER_EVENTS: u8 = 10;

const SHARDS: usize = 64;

/// Least number of proofs in a shard at which unused ones are dropped.
const MIN_SWEEP: usize = 512;

/// Limiter of requests; holds the usage of every proof.
pub(crate) struct RequestLimiter {
    limits: RequestLimits,
    running: Arc<AtomicU32>,
    shards: Box<[UsageShard]>,
    principals: PrincipalUsages,
    origin: Instant,
}

/// Usage of a part of the proofs.
type UsageShard = RwLock<UsageTable>;

/// Usage by proof, and the number of proofs at which those of identity providers that are not in use are dropped: an expired
/// token is never told to be gone.
#[derive(Debug)]
struct UsageTable {
    proofs: HashMap<AuthnId, Arc<AuthnUsage>>,
    sweep_at: usize,
}

impl Default for UsageTable {
    fn default() -> Self {
        let proofs = HashMap::new();
        let sweep_at = MIN_SWEEP;
        Self { proofs, sweep_at }
    }
}

/// Usage of one proof, such as an API token.
#[derive(Debug)]
struct AuthnUsage {
    /// Budget owner that request memory is charged to: the principal, regardless of its number of proofs.
    holder: BudgetOwner,
    /// True if the proof is not listed in the configuration, which would tell when it is gone.
    may_expire: bool,
    /// Usage of the limits per token; shared by the proofs of a principal of an identity provider.
    quota: Arc<QuotaUsage>,
    /// True once the proof is revoked or removed.
    has_ended: AtomicBool,
    end_notify: Notify,
}

/// Permit of one request; released on drop.
#[derive(Debug)]
pub(crate) struct RequestPermit {
    total: Arc<AtomicU32>,
    usage: Arc<AuthnUsage>,
}

impl RequestLimiter {
    pub(crate) fn new(limits: RequestLimits, origin: Instant) -> Self {
        let shards = std::iter::repeat_with(RwLock::default).take(SHARDS);
        Self {
            limits,
            running: Arc::default(),
            shards: shards.collect(),
            principals: PrincipalUsages::default(),
            origin,
        }
    }

    /// Counts one request of this caller towards the rate per token.
    pub(crate) fn check_rate(&self, caller: &Caller, now: Instant) -> Result<(), Refusal> {
        let Some(rate) = self.limits.rate_per_token else {
            return Ok(());
        };
        let now = now.saturating_duration_since(self.origin);
        let burst = self.limits.burst_per_token;
        let usage = self.usage(caller);
        usage.quota.rate_limiter.check(now, rate, burst)
    }

    /// Counts one request of this caller towards its rate of requests that release resources. Returns `false` if it is used up.
    pub(crate) fn admits_release(&self, caller: &Caller, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.origin);
        let limiter = &self.usage(caller).quota.release_limiter;
        limiter.check(now, RELEASE_RATE, RELEASE_BURST).is_ok()
    }

    /// Returns a permit for one request of this caller.
    pub(crate) fn acquire(&self, caller: &Caller) -> Result<RequestPermit, Refusal> {
        let usage = self.usage(caller);
        if self.running.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Overloaded);
        }
        let permit = RequestPermit {
            total: Arc::clone(&self.running),
            usage,
        };
        // From here on, dropping the permit releases both counts, also on refusal.
        let before = permit.usage.quota.running.fetch_add(1, Ordering::Relaxed);
        if before >= self.limits.requests_per_token {
            return Err(Refusal::TooManyRequests(1));
        }
        Ok(permit)
    }

    /// Returns the number of requests being served.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// Drops the proofs that `keep` rejects and ends their requests.
    pub(crate) fn retain(&self, keep: impl Fn(&AuthnId) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.proofs.retain(|authn, usage| {
                let kept = keep(authn);
                if !kept {
                    usage.end();
                }
                kept
            });
        }
    }

    /// Drops this proof and ends its requests.
    pub(crate) fn end_authn(&self, authn: &AuthnId) {
        let mut shard = self
            .shard(authn)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = shard.proofs.remove(authn) {
            usage.end();
        }
    }

    fn shard(&self, authn: &AuthnId) -> &UsageShard {
        // Ids are uniformly distributed, so their first byte is as well.
        &self.shards[usize::from(authn.0[0]) % SHARDS]
    }

    fn usage(&self, caller: &Caller) -> Arc<AuthnUsage> {
        let authn = &caller.authn().id;
        let shard = self.shard(authn);
        let known = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = known.proofs.get(authn) {
            return Arc::clone(usage);
        }
        drop(known);
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.proofs.len() >= shard.sweep_at {
            // Holders are counted under the lock: nothing begins to use an entry meanwhile.
            let is_used = |usage: &Arc<AuthnUsage>| Arc::strong_count(usage) > 1;
            shard
                .proofs
                .retain(|_, usage| !usage.may_expire || is_used(usage));
            shard.sweep_at = MIN_SWEEP.max(2 * shard.proofs.len());
        }
        let usage = shard.proofs.entry(*authn);
        let new = || Arc::new(AuthnUsage::of(caller, &self.principals));
        Arc::clone(usage.or_insert_with(new))
    }
}

impl AuthnUsage {
    fn of(caller: &Caller, principals: &PrincipalUsages) -> Self {
        let quota = match &caller.principal().subject {
            PrincipalSubject::External { .. } => principals.get(caller.principal()),
            PrincipalSubject::AllCallers
            | PrincipalSubject::Token { .. }
            | PrincipalSubject::Team(_)
            | PrincipalSubject::User(_) => Arc::default(),
        };
        Self {
            holder: BudgetOwner::of(caller.principal()),
            may_expire: caller.authn().kind == AuthnKind::IdentityProvider,
            quota,
            has_ended: AtomicBool::default(),
            end_notify: Notify::default(),
        }
    }
}

impl AuthnUsage {
    fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.end_notify.notify_waiters();
    }

    async fn ended(&self) {
        // Created before the check, so that no notification is missed.
        let ended = self.end_notify.notified();
        if !self.has_ended.load(Ordering::Acquire) {
            ended.await;
        }
    }
}

impl RequestPermit {
    /// Returns the owner of the memory that the request uses.
    pub(crate) fn budget_owner(&self) -> BudgetOwner {
        self.usage.holder
    }

    /// Returns the limiter of events about refused session ids of the caller.
    pub(crate) fn session_events(&self) -> &EventLimiter<MAX_CALLER_EVENTS> {
        &self.usage.quota.session_events
    }

    /// Completes when the caller's proof is revoked or removed.
    pub(crate) fn authn_ended(&self) -> impl Future<Output = ()> + Send + '_ {
        self.usage.ended()
    }

    /// Like [`authn_ended`](Self::authn_ended), for use beyond the life of the permit.
    pub(crate) fn authn_ended_static(&self) -> impl Future<Output = ()> + Send + 'static {
        let usage = Arc::clone(&self.usage);
        async move { usage.ended().await }
    }

    /// Returns `true` if the caller's proof is revoked or removed.
    pub(crate) fn is_authn_ended(&self) -> bool {
        self.usage.has_ended.load(Ordering::Acquire)
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.total.fetch_sub(1, Ordering::Relaxed);
        self.usage.quota.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
