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
pub struct ScheduleOptions {
    /// Interval between successful probes, with a jitter of ten percent.
    pub interval: Duration,
    /// Delay after the first failure. Doubles with each further failure, up to `max_retry`.
    pub retry: Duration,
    /// Maximum delay after a failure: a server that has recovered is not to look failed for long.
    pub max_retry: Duration,
    /// Minimum time from the start of a probe to the next announced probe.
    pub gap: Duration,
    /// Maximum number of announced probes in a row.
    pub burst: u32,
    /// Time in which the credit for one more announced probe refills.
    pub refill: Duration,
    /// Maximum cost of an announcement without a change, and maximum delay of the probe after an open feed has ended. A
    /// feed that was open for at least half of this time resets the delay.
    pub max_quiet: Duration,
}

/// Input of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleEvent {
    /// The server is new, or its configuration has changed.
    Changed,
    /// An operator requests a probe now.
    Requested,
    /// The server announces a change of its definitions.
    Announced,
    /// The change feed has ended; announcements may have been missed.
    FeedEnded {
        /// True if the feed was ever open.
        was_open: bool,
    },
    /// The timer has fired.
    Due,
    /// The probe has ended.
    Ended {
        /// True if the probe succeeded.
        succeeded: bool,
        /// True if the result differs from the one before.
        changed: bool,
    },
}

/// Action to perform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleAction {
    /// Cancel the timer and start a probe.
    Probe,
    /// Set the timer, replacing an earlier one.
    Wake(Duration),
    /// No action.
    Nothing,
}

/// Schedule of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSchedule {
    options: ScheduleOptions,
    phase: SchedulePhase,
    failures: u32,
    /// Start of the last probe.
    last_start: Option<Duration>,
    /// True if the next or the running probe was announced by the server.
    announced: bool,
    /// Time at which the credit for announced probes is full again.
    credit_restored_at: Duration,
    /// Number of successive announced probes that found no change.
    unchanged_probes: u32,
    /// Number of successive feeds that ended early.
    short_feeds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SchedulePhase {
    Waiting { due: Duration },
    Probing { again: FollowUpProbe },
}

/// Event that arrived while a probe was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FollowUpProbe {
    NotNeeded,
    Announced,
    Requested,
    Changed,
}

impl Default for ScheduleOptions {
    fn default() -> Self {
        Self {
            interval: limits::PROBE_INTERVAL,
            retry: Duration::from_secs(2),
            max_retry: limits::MAX_PROBE_RETRY,
            // At most twenty probes in ten seconds, the same limit as for change notifications to clients.
            gap: Duration::from_millis(525),
            burst: 20,
            refill: Duration::from_secs(1),
            max_quiet: Duration::from_secs(60),
        }
    }
}

impl ProbeSchedule {
    /// Creates the schedule of a server that has not been probed yet. The first event must be
    /// [`ScheduleEvent::Changed`].
    pub fn new(options: ScheduleOptions) -> Self {
        let due = Duration::ZERO;
        Self {
            options,
            phase: SchedulePhase::Waiting { due },
            failures: 0,
            last_start: None,
            announced: false,
            credit_restored_at: Duration::ZERO,
            unchanged_probes: 0,
            short_feeds: 0,
        }
    }

    /// Returns `true` if a probe is running.
    pub fn is_probing(&self) -> bool {
        matches!(self.phase, SchedulePhase::Probing { .. })
    }

    /// Returns the number of successive failed probes.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Handles `event` at the monotonic time `now`.
    pub fn step(&mut self, event: ScheduleEvent, now: Duration, random: u64) -> ScheduleAction {
        match (self.phase, event) {
            (SchedulePhase::Waiting { .. }, ScheduleEvent::Changed | ScheduleEvent::Requested) => {
                self.probe(now)
            }
            (SchedulePhase::Waiting { due }, ScheduleEvent::Due) if due <= now => self.probe(now),
            (SchedulePhase::Waiting { due }, ScheduleEvent::Due) => ScheduleAction::Wake(due - now),
            (SchedulePhase::Waiting { due }, ScheduleEvent::Announced) => {
                let announced = self.announced_probe_at(now);
                self.wait_until(due.min(announced), now)
            }
            (SchedulePhase::Waiting { due }, ScheduleEvent::FeedEnded { was_open }) => {
                let again = now + self.reopen_delay(was_open, now, random);
                self.wait_until(due.min(again), now)
            }
            // Late end of a probe that this schedule no longer tracks.
            (SchedulePhase::Waiting { .. }, ScheduleEvent::Ended { .. }) => ScheduleAction::Nothing,
            (SchedulePhase::Probing { .. }, ScheduleEvent::Changed) => {
                self.set_follow_up(FollowUpProbe::Changed)
            }
            // The running probe began before the request: what it sees may be out of date.
            (SchedulePhase::Probing { again }, ScheduleEvent::Requested)
                if again != FollowUpProbe::Changed =>
            {
                self.set_follow_up(FollowUpProbe::Requested)
            }
            (
                SchedulePhase::Probing {
                    again: FollowUpProbe::NotNeeded,
                },
                ScheduleEvent::Announced,
            ) => self.set_follow_up(FollowUpProbe::Announced),
            (
                SchedulePhase::Probing { .. },
                ScheduleEvent::Announced
                | ScheduleEvent::FeedEnded { .. }
                | ScheduleEvent::Requested
                | ScheduleEvent::Due,
            ) => ScheduleAction::Nothing,
            (SchedulePhase::Probing { again }, ScheduleEvent::Ended { succeeded, changed }) => {
                self.charge(changed || !succeeded, now);
                self.ended(again, succeeded, now, random)
            }
        }
    }

    fn ended(
        &mut self,
        again: FollowUpProbe,
        succeeded: bool,
        now: Duration,
        random: u64,
    ) -> ScheduleAction {
        self.failures = if succeeded {
            0
        } else {
            self.failures.saturating_add(1)
        };
        if again == FollowUpProbe::Changed {
            self.failures = 0;
            return self.probe(now);
        }
        if again == FollowUpProbe::Requested {
            return self.probe(now);
        }
        let interval = self.options.interval;
        let wait = if succeeded {
            let tenth = interval / 10;
            interval - tenth + random_part(tenth * 2, random)
        } else {
            let most = interval.min(self.options.max_retry);
            self.backoff(self.failures, most, random)
        };
        let mut due = now + wait;
        if again == FollowUpProbe::Announced {
            due = due.min(self.announced_probe_at(now));
        }
        self.wait_until(due, now)
    }

    /// Returns the delay after `failures` successive failures, with jitter, at most `most`.
    fn backoff(&self, failures: u32, most: Duration, random: u64) -> Duration {
        let times = 1 << failures.saturating_sub(1).min(16);
        let ceiling = self.options.retry.saturating_mul(times).min(most);
        ceiling / 2 + random_part(ceiling / 2, random)
    }

    /// Returns the delay of the probe after a feed has ended. It is short, because many servers end their streams every
    /// minute or so, and no announcements arrive in the meantime.
    fn reopen_delay(&mut self, was_open: bool, now: Duration, random: u64) -> Duration {
        let ScheduleOptions {
            max_quiet,
            interval,
            ..
        } = self.options;
        // The feed was opened with the last probe.
        let good = |at: Duration| was_open && now.saturating_sub(at) >= max_quiet / 2;
        if self.last_start.is_some_and(good) {
            self.short_feeds = 0;
        }
        self.short_feeds = self.short_feeds.saturating_add(1);
        let most = if was_open { max_quiet } else { interval };
        self.backoff(self.short_feeds, most, random)
    }

    /// Returns the time at which to probe after an announcement.
    fn announced_probe_at(&mut self, now: Duration) -> Duration {
        self.announced = true;
        let gap_over = self
            .last_start
            .map_or(Duration::ZERO, |at| at + self.options.gap);
        now.max(gap_over)
            .max(self.credit_restored_at.saturating_sub(self.credit_limit()))
    }

    /// Returns how far `credit_restored_at` may lie in the future before announced probes are delayed.
    fn credit_limit(&self) -> Duration {
        let more = self.options.burst.saturating_sub(1);
        self.options.refill.saturating_mul(more)
    }

    /// Charges for an announced probe that found no change. The cost doubles each time.
    fn charge(&mut self, changed: bool, now: Duration) {
        if !std::mem::take(&mut self.announced) {
            return;
        }
        if changed {
            self.unchanged_probes = 0;
            return;
        }
        self.unchanged_probes = self.unchanged_probes.saturating_add(1);
        let cost = self
            .options
            .refill
            .saturating_mul(2 << self.unchanged_probes.min(16));
        let most = now + self.credit_limit() + self.options.max_quiet;
        self.credit_restored_at = (self.credit_restored_at + cost).min(most);
    }

    fn probe(&mut self, now: Duration) -> ScheduleAction {
        self.last_start = Some(now);
        if self.credit_restored_at <= now {
            self.unchanged_probes = 0;
        }
        if self.announced {
            self.credit_restored_at = self.credit_restored_at.max(now) + self.options.refill;
        }
        self.phase = SchedulePhase::Probing {
            again: FollowUpProbe::NotNeeded,
        };
        ScheduleAction::Probe
    }

    fn set_follow_up(&mut self, again: FollowUpProbe) -> ScheduleAction {
        self.phase = SchedulePhase::Probing { again };
        ScheduleAction::Nothing
    }

    fn wait_until(&mut self, due: Duration, now: Duration) -> ScheduleAction {
        if due <= now {
            return self.probe(now);
        }
        self.phase = SchedulePhase::Waiting { due };
        ScheduleAction::Wake(due - now)
    }
}

/// Returns a uniformly distributed part of `most`.
fn random_part(most: Duration, random: u64) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests;
