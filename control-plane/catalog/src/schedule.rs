//! Schedule of the probes of one server. It does no I/O: time and randomness are parameters. At most one probe runs at
//! a time.
//!
//! An announced change is probed within [`ScheduleOptions::gap`], also several times in a row. A server that keeps
//! announcing changes is probed at the rate at which its credit refills. Announcements without a change cost more
//! credit each time, so such a server is probed less and less often.

use std::time::Duration;

use toolgate_control_core::limits;

/// Intervals of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Interval between successful probes, with a jitter of ten percent.
    pub interval: Duration,
    /// Delay after the first failure. Doubles with each further failure, up to `interval`.
    pub retry: Duration,
    /// Minimum time from the start of a probe to the next announced probe.
    pub gap: Duration,
    /// Maximum number of announced probes in a row.
    pub burst: u32,
    /// Time in which the credit for one more announced probe refills.
    pub refill: Duration,
    /// Maximum cost of an announcement without a change, and maximum delay of the probe after an open feed has ended. A
    /// feed that was open for at least half of this time resets the delay.
    pub quiet: Duration,
}

/// Input of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The server is new, or its configuration has changed.
    Changed,
    /// An operator requests a probe now.
    Asked,
    /// The server announces a change of its definitions.
    Announced,
    /// The change feed has ended; announcements may have been missed.
    FeedEnded {
        /// True if the feed was ever open.
        stood: bool,
    },
    /// The timer has fired.
    Due,
    /// The probe has ended.
    Ended {
        /// True if the probe succeeded.
        well: bool,
        /// True if the result differs from the one before.
        changed: bool,
    },
}

/// Action to perform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Cancel the timer and start a probe.
    Probe,
    /// Set the timer, replacing an earlier one.
    Wake(Duration),
    /// No action.
    Nothing,
}

/// Schedule of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pace: Pace,
    phase: Phase,
    failures: u32,
    /// Start of the last probe.
    looked: Option<Duration>,
    /// True if the next or the running probe was announced by the server.
    asked: bool,
    /// Time at which the credit for announced probes is full again.
    paid: Duration,
    /// Number of successive announced probes that found no change.
    vain: u32,
    /// Number of successive feeds that ended early.
    ends: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { due: Duration },
    Probing { again: Again },
}

/// Event that arrived while a probe was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Announced,
    Changed,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: limits::PROBE_INTERVAL,
            retry: Duration::from_secs(2),
            // At most twenty probes in ten seconds, the same limit as for change notifications to clients.
            gap: Duration::from_millis(525),
            burst: 20,
            refill: Duration::from_secs(1),
            quiet: Duration::from_secs(60),
        }
    }
}

impl Schedule {
    /// Creates the schedule of a server that has not been probed yet. The first event must be
    /// [`ScheduleEvent::Changed`].
    pub fn new(pace: Pace) -> Self {
        let due = Duration::ZERO;
        Self {
            pace,
            phase: Phase::Waiting { due },
            failures: 0,
            looked: None,
            asked: false,
            paid: Duration::ZERO,
            vain: 0,
            ends: 0,
        }
    }

    /// Returns `true` if a probe is running.
    pub fn is_probing(&self) -> bool {
        matches!(self.phase, Phase::Probing { .. })
    }

    /// Returns the number of successive failed probes.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Handles `event` at the monotonic time `now`.
    pub fn step(&mut self, event: Event, now: Duration, random: u64) -> Step {
        match (self.phase, event) {
            (Phase::Waiting { .. }, Event::Changed | Event::Asked) => self.probe(now),
            (Phase::Waiting { due }, Event::Due) if due <= now => self.probe(now),
            (Phase::Waiting { due }, Event::Due) => Step::Wake(due - now),
            (Phase::Waiting { due }, Event::Announced) => {
                let heard = self.heard(now);
                self.wait_until(due.min(heard), now)
            }
            (Phase::Waiting { due }, Event::FeedEnded { stood }) => {
                let again = now + self.silence(stood, now, random);
                self.wait_until(due.min(again), now)
            }
            // Late end of a probe that this schedule no longer tracks.
            (Phase::Waiting { .. }, Event::Ended { .. }) => Step::Nothing,
            (Phase::Probing { .. }, Event::Changed) => self.note(Again::Changed),
            (Phase::Probing { again: Again::No }, Event::Announced) => self.note(Again::Announced),
            (
                Phase::Probing { .. },
                Event::Announced | Event::FeedEnded { .. } | Event::Asked | Event::Due,
            ) => Step::Nothing,
            (Phase::Probing { again }, Event::Ended { well, changed }) => {
                self.charge(changed || !well, now);
                self.ended(again, well, now, random)
            }
        }
    }

    fn ended(&mut self, again: Again, well: bool, now: Duration, random: u64) -> Step {
        self.failures = if well {
            0
        } else {
            self.failures.saturating_add(1)
        };
        if again == Again::Changed {
            self.failures = 0;
            return self.probe(now);
        }
        let interval = self.pace.interval;
        let wait = if well {
            let tenth = interval / 10;
            interval - tenth + part(tenth * 2, random)
        } else {
            self.backoff(self.failures, interval, random)
        };
        let mut due = now + wait;
        if again == Again::Announced {
            due = due.min(self.heard(now));
        }
        self.wait_until(due, now)
    }

    /// Returns the delay after `failures` successive failures, with jitter, at most `most`.
    fn backoff(&self, failures: u32, most: Duration, random: u64) -> Duration {
        let times = 1 << failures.saturating_sub(1).min(16);
        let ceiling = self.pace.retry.saturating_mul(times).min(most);
        ceiling / 2 + part(ceiling / 2, random)
    }

    /// Returns the delay of the probe after a feed has ended. It is short, because many servers end their streams every
    /// minute or so, and no announcements arrive in the meantime.
    fn silence(&mut self, stood: bool, now: Duration, random: u64) -> Duration {
        let Pace {
            quiet, interval, ..
        } = self.pace;
        // The feed was opened with the last probe.
        let good = |at: Duration| stood && now.saturating_sub(at) >= quiet / 2;
        if self.looked.is_some_and(good) {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        let most = if stood { quiet } else { interval };
        self.backoff(self.ends, most, random)
    }

    /// Returns the time at which to probe after an announcement.
    fn heard(&mut self, now: Duration) -> Duration {
        self.asked = true;
        let gap_over = self.looked.map_or(Duration::ZERO, |at| at + self.pace.gap);
        now.max(gap_over)
            .max(self.paid.saturating_sub(self.credit()))
    }

    /// Returns how far `credit_restored_at` may lie in the future before announced probes are delayed.
    fn credit(&self) -> Duration {
        let more = self.pace.burst.saturating_sub(1);
        self.pace.refill.saturating_mul(more)
    }

    /// Charges for an announced probe that found no change. The cost doubles each time.
    fn charge(&mut self, changed: bool, now: Duration) {
        if !std::mem::take(&mut self.asked) {
            return;
        }
        if changed {
            self.vain = 0;
            return;
        }
        self.vain = self.vain.saturating_add(1);
        let dear = self.pace.refill.saturating_mul(2 << self.vain.min(16));
        let most = now + self.credit() + self.pace.quiet;
        self.paid = (self.paid + dear).min(most);
    }

    fn probe(&mut self, now: Duration) -> Step {
        self.looked = Some(now);
        if self.paid <= now {
            self.vain = 0;
        }
        if self.asked {
            self.paid = self.paid.max(now) + self.pace.refill;
        }
        self.phase = Phase::Probing { again: Again::No };
        Step::Probe
    }

    fn note(&mut self, again: Again) -> Step {
        self.phase = Phase::Probing { again };
        Step::Nothing
    }

    fn wait_until(&mut self, due: Duration, now: Duration) -> Step {
        if due <= now {
            return self.probe(now);
        }
        self.phase = Phase::Waiting { due };
        Step::Wake(due - now)
    }
}

/// Returns a uniformly distributed part of `most`.
fn part(most: Duration, random: u64) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests;
