//! Quotas of the configured rate limits: one GCRA limiter for each limit, with a quota for each of its subjects. The core's
//! `policy` decides which limits apply to a request, and to which subject; `policy.rs` applies them. The rate limit
//! per token from the settings of the proxy is in `per_token`; `request_limiter` applies it.

mod buckets;
mod clock;
mod per_token;

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use governor::{Quota, RateLimiter as GcraLimiter, middleware::NoOpMiddleware};
use toolgate_data_core::{
    Refusal, View,
    policy::{BucketKey, DividedQuota, Filter, RateLimitFilter},
};
use toolgate_model::Digest;
use toolgate_runtime::SharedClock;

use buckets::{BucketStore, Buckets};
use clock::LimitClock;
pub(crate) use per_token::TokenRateLimiter;

/// Limiters of all limits that have been asked, by their ids.
pub(crate) struct RateLimiter {
    clock: LimitClock,
    /// Copied on write: a limit is added when it is asked for the first time.
    limiters: ArcSwap<HashMap<Digest, Arc<FleetLimiter>>>,
}

/// Limiter of one limit, divided by the number of serving proxies.
struct FleetLimiter {
    /// Kept when the number of proxies changes: a new division permits no new burst.
    buckets: Arc<Buckets>,
    divided: ArcSwap<DividedLimiter>,
}

struct DividedLimiter {
    serving_proxies: NonZeroU32,
    limiter: GcraLimiter<BucketKey, BucketStore, LimitClock, NoOpMiddleware<Duration>>,
}

impl RateLimiter {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self {
            clock: LimitClock::new(clock),
            limiters: ArcSwap::default(),
        }
    }

    /// Uses one request of a quota; refuses it if the quota is exhausted.
    pub(crate) fn check(
        &self,
        filter: &RateLimitFilter,
        bucket: &BucketKey,
        serving_proxies: NonZeroU32,
    ) -> Result<(), Refusal> {
        let limiter = self.limiter(filter, serving_proxies);
        let divided = limiter.divided(filter, serving_proxies, &self.clock);
        let checked = divided.limiter.check_key(bucket);
        checked.map_err(|refused| {
            let now = governor::clock::Clock::now(&self.clock);
            let wait = refused.wait_time_from(now);
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            Refusal::RateLimited {
                per: filter.per,
                seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            }
        })
    }

    /// Drops the limits that the view does not contain.
    pub(crate) fn retain(&self, view: &View) {
        if self.limiters.load().is_empty() {
            return;
        }
        let gateways = view.gateways().flat_map(|gateway| gateway.policy.filters());
        let tokens = view.callers().flat_map(|caller| caller.admit_filters());
        let ids: BTreeSet<Digest> = gateways
            .chain(tokens)
            .map(|Filter::RateLimit(limit)| limit.id)
            .collect();
        self.limiters.rcu(|limiters| {
            let kept = limiters.iter().filter(|(id, _)| ids.contains(*id));
            kept.map(|(id, limiter)| (*id, Arc::clone(limiter)))
                .collect::<HashMap<_, _>>()
        });
    }

    /// Returns the number of quotas of which something is remembered.
    pub(crate) fn quotas(&self) -> usize {
        let limiters = self.limiters.load();
        limiters.values().map(|limiter| limiter.buckets.len()).sum()
    }

    fn limiter(&self, filter: &RateLimitFilter, serving_proxies: NonZeroU32) -> Arc<FleetLimiter> {
        if let Some(known) = self.limiters.load().get(&filter.id) {
            return Arc::clone(known);
        }
        let made = Arc::new(FleetLimiter::new(filter, serving_proxies, &self.clock));
        self.limiters.rcu(|limiters| {
            let mut limiters = HashMap::clone(limiters);
            let made = || Arc::clone(&made);
            limiters.entry(filter.id).or_insert_with(made);
            limiters
        });
        // Another request may have been first.
        let limiters = self.limiters.load();
        limiters.get(&filter.id).map_or(made, Arc::clone)
    }
}

impl FleetLimiter {
    fn new(filter: &RateLimitFilter, serving_proxies: NonZeroU32, clock: &LimitClock) -> Self {
        let buckets = Arc::new(Buckets::default());
        let divided = DividedLimiter::new(filter, serving_proxies, &buckets, clock);
        Self {
            buckets,
            divided: ArcSwap::from_pointee(divided),
        }
    }

    /// Returns the limiter for this number of proxies.
    fn divided(
        &self,
        filter: &RateLimitFilter,
        serving_proxies: NonZeroU32,
        clock: &LimitClock,
    ) -> arc_swap::Guard<Arc<DividedLimiter>> {
        let divided = self.divided.load();
        if divided.serving_proxies == serving_proxies {
            return divided;
        }
        let next = DividedLimiter::new(filter, serving_proxies, &self.buckets, clock);
        self.divided.store(Arc::new(next));
        self.divided.load()
    }
}

impl DividedLimiter {
    fn new(
        filter: &RateLimitFilter,
        serving_proxies: NonZeroU32,
        buckets: &Arc<Buckets>,
        clock: &LimitClock,
    ) -> Self {
        let part = DividedQuota::new(&filter.limit, serving_proxies);
        // The period is never zero; the fallback is never used.
        let quota = Quota::with_period(part.period).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        let store = BucketStore::new(Arc::clone(buckets), clock.clone());
        Self {
            serving_proxies,
            limiter: GcraLimiter::new(quota.allow_burst(part.burst), store, clock.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
