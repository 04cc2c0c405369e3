//! Division of a rate limit among the proxies of a fleet. Requests are assumed to be spread evenly, as a balancer does;
//! no proxy asks another one.

use std::{num::NonZeroU32, time::Duration};

use toolgate_model::RateLimit;

/// Largest number of proxies that a limit is divided by.
const MAX_PROXIES: u32 = 10_000;

/// Part of a rate limit that one proxy serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DividedQuota {
    /// Time after which one more request is permitted.
    pub period: Duration,
    /// Requests that may arrive at once.
    pub burst: NonZeroU32,
}

impl DividedQuota {
    /// Divides `limit` among this number of serving proxies. The rate is divided exactly, by a longer period. The burst
    /// is rounded down, but is at least one request, because a proxy that never permits a request is of no use: with
    /// fewer requests than proxies, the fleet permits one request for each proxy at once.
    pub fn new(limit: &RateLimit, serving_proxies: NonZeroU32) -> Self {
        let proxies = serving_proxies.get().min(MAX_PROXIES);
        let nanos = limit.interval.as_nanos() * u128::from(proxies);
        let period = nanos.div_ceil(u128::from(limit.requests.get())).max(1);
        let burst = NonZeroU32::new(limit.burst().get() / proxies);
        Self {
            period: Duration::from_nanos(u64::try_from(period).unwrap_or(u64::MAX)),
            burst: burst.unwrap_or(NonZeroU32::MIN),
        }
    }
}
