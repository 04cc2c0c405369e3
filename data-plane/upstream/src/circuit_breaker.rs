//! Circuit breaker of one server with the states closed, open and half open. After several failures in a row no call is
//! sent for a while, then one call probes the server. Envoy has the same as "outlier detection". `permit.rs` decides which
//! failures of a call count, `verdict.rs` of `data-plane/core` which answers are failures; `recovery.rs` pings the server
//! meanwhile. Pure: time and randomness are arguments.

use std::time::Duration;

/// Number of failures in a row that open the circuit.
pub const FAILURES: u32 = 5;

/// First and longest limit of the time that the circuit stays open: it is a random time between half of it and all of it.
pub const OPEN_DURATION: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Time after which another call probes the server, in milliseconds: a call may take minutes on a healthy server.
const PROBE_INTERVAL: u64 = 5_000;

/// State of one circuit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CircuitBreaker {
    state: BreakerState,
    /// Number of openings since the last success.
    openings: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum BreakerState {
    /// All calls are admitted.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// No call is admitted.
    Open {
        /// End of the open state, in milliseconds.
        until: u64,
    },
    /// The server is probed by one call, and by another one each time that a probe has no outcome for long; all others are
    /// refused.
    HalfOpen {
        /// Time at which the next call is a probe too, in milliseconds.
        next_probe: u64,
    },
}

/// Decision on one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerAdmission {
    /// The call is admitted.
    Pass,
    /// The call is admitted as the probe: its outcome has to be reported.
    Probe,
    /// The call is refused.
    Refused,
}

impl Default for BreakerState {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl CircuitBreaker {
    /// Reports if there was no failure since the last success.
    pub fn has_no_failures(&self) -> bool {
        self.state == BreakerState::default()
    }

    /// Reports if the circuit is open or half open.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, BreakerState::Closed { .. })
    }

    /// Decides on a call. `now` is in milliseconds since any fixed origin.
    pub fn admit(&mut self, now: u64) -> BreakerAdmission {
        match self.state {
            BreakerState::Closed { .. } => BreakerAdmission::Pass,
            BreakerState::Open { until } | BreakerState::HalfOpen { next_probe: until }
                if now < until =>
            {
                BreakerAdmission::Refused
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => {
                let next_probe = now.saturating_add(PROBE_INTERVAL);
                self.state = BreakerState::HalfOpen { next_probe };
                BreakerAdmission::Probe
            }
        }
    }

    /// Records an answer that is no failure of the server, see `permit.rs`.
    pub fn record_success(&mut self) {
        // Also while open: a call in flight that is answered tells the same as a probe.
        *self = Self::default();
    }

    /// Records that the server answers pings again. Calls are admitted, and the first failure opens the circuit for longer.
    pub fn record_ping(&mut self) {
        if self.is_open() {
            self.state = BreakerState::Closed {
                failures: FAILURES - 1,
            };
        }
    }

    /// Reports if the next call is admitted as a probe.
    pub fn is_probe_due(&self, now: u64) -> bool {
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { until } | BreakerState::HalfOpen { next_probe: until } => {
                until <= now
            }
        }
    }

    /// Records a failure. Returns `true` if it was the outcome of the probe, so that the circuit stays open. A probe that fails
    /// after a ping or another call closed the circuit counts like any call.
    pub fn record_failure(&mut self, probe: bool, now: u64, random: u64) -> bool {
        match self.state {
            BreakerState::Closed { failures } if failures + 1 < FAILURES => {
                self.state = BreakerState::Closed {
                    failures: failures + 1,
                };
            }
            BreakerState::Closed { .. } => self.open(now, random),
            BreakerState::HalfOpen { .. } if probe => {
                self.open(now, random);
                return true;
            }
            // The call was sent before the circuit opened.
            BreakerState::HalfOpen { .. } | BreakerState::Open { .. } => {}
        }
        false
    }

    /// Records a probe without an outcome, for instance because its client left: the next call is the probe.
    pub fn record_abandoned(&mut self, now: u64) {
        if let BreakerState::HalfOpen { .. } = self.state {
            self.state = BreakerState::Open { until: now };
        }
    }

    /// Opens the circuit for half of the ceiling plus jitter, so that the proxies of a fleet do not probe at once.
    fn open(&mut self, now: u64, random: u64) {
        let (first, longest) = OPEN_DURATION;
        let ceiling = first
            .saturating_mul(1 << self.openings.min(16))
            .min(longest);
        let half = u64::try_from(ceiling.as_millis() / 2).unwrap_or(u64::MAX);
        self.openings = self.openings.saturating_add(1);
        let until = now.saturating_add(half).saturating_add(random % (half + 1));
        self.state = BreakerState::Open { until };
    }
}

#[cfg(test)]
mod tests;
