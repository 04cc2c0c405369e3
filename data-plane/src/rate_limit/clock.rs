//! Clock of the rate limits: the proxy's clock, as the time since the start of the proxy.

use std::time::{Duration, Instant};

use governor::clock::Clock;
use toolgate_runtime::SharedClock;

/// Time since its creation.
#[derive(Clone)]
pub(crate) struct LimitClock {
    clock: SharedClock,
    origin: Instant,
}

impl LimitClock {
    pub(crate) fn new(clock: SharedClock) -> Self {
        let origin = clock.monotonic();
        Self { clock, origin }
    }
}

impl Clock for LimitClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.clock
            .monotonic()
            .saturating_duration_since(self.origin)
    }
}
