//! When a server is probed. Pure: time and randomness come in. At most one probe at a time, and a server that cries
//! out all the time is heard less and less.

use std::time::Duration;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between probes that succeed, give or take a tenth.
    pub interval: Duration,
    /// After the first failure; doubles up to `interval`.
    pub retry: Duration,
    /// Between probes that the server itself asks for, after the first; doubles up to `quiet`.
    pub gap: Duration,
    /// Without announcements for this long, the next one is heard at once again.
    pub quiet: Duration,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The server is new, or its configuration has changed.
    Changed,
    /// An operator wants to know now.
    Asked,
    /// The server says that what it offers has changed.
    Announced,
    /// The server's feed of changes ended: some may have been missed.
    FeedEnded,
    /// The time asked for has passed.
    Due,
    /// The probe has ended.
    Ended {
        /// Whether it went well.
        well: bool,
    },
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start a probe, and forget the alarm.
    Probe,
    /// Set the alarm, in place of an earlier one.
    Wake(Duration),
    /// Nothing.
    Nothing,
}

/// The schedule of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pace: Pace,
    phase: Phase,
    failures: u32,
    /// When the server announced last, and how long it has to wait for the next time.
    announced: Option<Duration>,
    gap: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { due: Duration },
    Probing { again: Again },
}

/// What has come up while a probe was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Announced,
    Changed,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            retry: Duration::from_secs(2),
            gap: Duration::from_millis(250),
            quiet: Duration::from_secs(60),
        }
    }
}

impl Schedule {
    /// Of a server that has not been probed yet; begin with [`Event::Changed`].
    pub fn new(pace: Pace) -> Self {
        let due = Duration::ZERO;
        Self {
            pace,
            phase: Phase::Waiting { due },
            failures: 0,
            announced: None,
            gap: pace.gap,
        }
    }

    /// Whether a probe is running.
    pub fn is_probing(&self) -> bool {
        matches!(self.phase, Phase::Probing { .. })
    }

    /// Probes that failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes note of `event` at the monotonic time `now`.
    pub fn step(&mut self, event: Event, now: Duration, random: u64) -> Step {
        match (self.phase, event) {
            (Phase::Waiting { .. }, Event::Changed | Event::Asked) => self.probe(),
            (Phase::Waiting { due }, Event::Due) if due <= now => self.probe(),
            (Phase::Waiting { due }, Event::Due) => Step::Wake(due - now),
            (Phase::Waiting { due }, Event::Announced) => {
                let wait = self.heard(now);
                self.wait_until(due.min(now + wait), now)
            }
            (Phase::Waiting { due }, Event::FeedEnded) => {
                // Not at once: many servers end their streams every minute or so.
                let wait = part(self.pace.quiet, random);
                self.wait_until(due.min(now + wait), now)
            }
            // A late word of a probe that is no longer ours.
            (Phase::Waiting { .. }, Event::Ended { .. }) => Step::Nothing,
            (Phase::Probing { .. }, Event::Changed) => self.note(Again::Changed),
            (Phase::Probing { again: Again::No }, Event::Announced) => self.note(Again::Announced),
            (
                Phase::Probing { .. },
                Event::Announced | Event::FeedEnded | Event::Asked | Event::Due,
            ) => Step::Nothing,
            (Phase::Probing { again }, Event::Ended { well }) => {
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
            return self.probe();
        }
        let Pace {
            interval, retry, ..
        } = self.pace;
        let mut wait = if well {
            let tenth = interval / 10;
            interval - tenth + part(tenth * 2, random)
        } else {
            let doubled = retry.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
            let ceiling = doubled.min(interval);
            ceiling / 2 + part(ceiling / 2, random)
        };
        if again == Again::Announced {
            wait = wait.min(self.heard(now).max(self.pace.gap));
        }
        self.wait_until(now + wait, now)
    }

    /// How long an announcement made now has to wait.
    fn heard(&mut self, now: Duration) -> Duration {
        let quiet = |last: Duration| now.saturating_sub(last) >= self.pace.quiet;
        if self.announced.is_none_or(quiet) {
            self.announced = Some(now);
            self.gap = self.pace.gap;
            return Duration::ZERO;
        }
        self.announced = Some(now);
        let wait = self.gap;
        self.gap = (self.gap * 2).min(self.pace.quiet);
        wait
    }

    fn probe(&mut self) -> Step {
        self.phase = Phase::Probing { again: Again::No };
        Step::Probe
    }

    fn note(&mut self, again: Again) -> Step {
        self.phase = Phase::Probing { again };
        Step::Nothing
    }

    fn wait_until(&mut self, due: Duration, now: Duration) -> Step {
        if due <= now {
            return self.probe();
        }
        self.phase = Phase::Waiting { due };
        Step::Wake(due - now)
    }
}

/// Some of `most`, evenly distributed.
fn part(most: Duration, random: u64) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests;
