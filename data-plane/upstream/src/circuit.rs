//! The circuit of one server: after several failures in a row nothing is sent for a while, then one call tries. A
//! pure machine; time and randomness come in.

use std::time::Duration;

/// Failures in a row that open it.
pub const FAILURES: u32 = 5;

/// The first pause, and the longest.
pub const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Whether a server is being called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Circuit {
    state: State,
    /// Pauses since it last worked.
    pauses: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: u64,
    },
    /// One call is finding out; all others are refused meanwhile.
    Probing,
}

/// What a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Pass,
    /// Go on: all others wait for how this one ends, so it must be told.
    Probe,
    /// Not now.
    Refused,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Circuit {
    /// Whether there has been no trouble since the last success.
    pub fn is_untroubled(&self) -> bool {
        self.state == State::default()
    }

    /// Whether calls are refused or only just being tried again.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// A call wants to go. `now` is in milliseconds, from any beginning that stays.
    pub fn admit(&mut self, now: u64) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Pass,
            State::Open { until } if now < until => Admission::Refused,
            State::Open { .. } => {
                self.state = State::Probing;
                Admission::Probe
            }
            State::Probing => Admission::Refused,
        }
    }

    /// A call got an answer, whatever it says.
    pub fn worked(&mut self) {
        // Also when open: whoever was on the way when it opened has found out what the probe wants to know.
        *self = Self::default();
    }

    /// A call got none.
    pub fn failed(&mut self, probe: bool, now: u64, random: u64) {
        match self.state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                self.state = State::Closed {
                    failures: failures + 1,
                };
            }
            State::Closed { .. } => self.pause(now, random),
            State::Probing if probe => self.pause(now, random),
            // Sent before it opened: says nothing new.
            State::Probing | State::Open { .. } => {}
        }
    }

    /// The probe ended without telling, for instance because its caller left: the next call is the probe.
    pub fn abandoned(&mut self, now: u64) {
        if self.state == State::Probing {
            self.state = State::Open { until: now };
        }
    }

    /// Between half of the ceiling and all of it: proxies of a fleet do not all try at once, and none tries at once
    /// again.
    fn pause(&mut self, now: u64, random: u64) {
        let (first, longest) = PAUSE;
        let ceiling = first.saturating_mul(1 << self.pauses.min(16)).min(longest);
        let half = u64::try_from(ceiling.as_millis() / 2).unwrap_or(u64::MAX);
        self.pauses = self.pauses.saturating_add(1);
        let until = now.saturating_add(half).saturating_add(random % (half + 1));
        self.state = State::Open { until };
    }
}

#[cfg(test)]
mod tests;
