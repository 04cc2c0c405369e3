//! Rate limit per token from the settings of the proxy (`--rate-per-token`, `--burst-per-token`), apart from the rate
//! limits of the configuration. GCRA with one number for each token; applied before the configured limits.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use toolgate_data_core::Refusal;

/// Rate limiter of one token or other authenticated proof: for its requests, and for messages that release resources.
#[derive(Debug, Default)]
pub(crate) struct TokenRateLimiter {
    /// Theoretical arrival time of the next request at the rate (GCRA), in microseconds after the origin.
    theoretical_arrival: AtomicU64,
}

impl TokenRateLimiter {
    /// Counts one request; refuses it if the token has used up its rate, in requests per second, and its burst.
    pub(crate) fn check(&self, now: Duration, rate: u32, burst: u32) -> Result<(), Refusal> {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let each = 1_000_000 / u64::from(rate.max(1));
        let slack = each.saturating_mul(u64::from(burst));
        let step = |arrival: u64| {
            let next = arrival.max(now).saturating_add(each);
            (next <= now.saturating_add(slack)).then_some(next)
        };
        let taken =
            self.theoretical_arrival
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        taken.map(drop).map_err(|arrival| {
            let wait = arrival.saturating_add(each).saturating_sub(now + slack);
            let seconds = wait.div_ceil(1_000_000).max(1);
            Refusal::TooManyRequests(u32::try_from(seconds).unwrap_or(u32::MAX))
        })
    }
}
