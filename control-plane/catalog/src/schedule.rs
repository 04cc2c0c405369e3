//! When a server is probed. Pure: time and randomness come in. At most one probe at a time. What a server announces is
//! looked at within [`Pace::gap`], also several times in a row; one that goes on and on is heard as often as its credit
//! fills up again, and one that announces what is not so is heard less and less.

use std::time::Duration;

use toolgate_control_core::limits;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between probes that succeed, give or take a tenth.
    pub interval: Duration,
    /// After the first failure; doubles up to `interval`.
    pub retry: Duration,
    /// From the start of a probe to the next one that the server itself asks for.
    pub gap: Duration,
    /// Probes that a server may ask for in a row.
    pub burst: u32,
    /// How long it takes until it may ask for one more.
    pub refill: Duration,
    /// What an announcement without a change costs at most, and how long after the end of a feed we look at the latest. A
    /// feed that stood for half of it was a good one.
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
    FeedEnded {
        /// Whether it ever stood.
        stood: bool,
    },
    /// The time asked for has passed.
    Due,
    /// The probe has ended.
    Ended {
        /// Whether it went well.
        well: bool,
        /// Whether it found anything else than the one before.
        changed: bool,
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
    /// When the last probe began.
    looked: Option<Duration>,
    /// Whether the next probe, or the one that runs, is one that the server asked for.
    asked: bool,
    /// When everything that such probes have cost is paid back.
    paid: Duration,
    /// Such probes in a row that found nothing new.
    vain: u32,
    /// Feeds in a row that ended soon.
    ends: u32,
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
            interval: limits::PROBE_INTERVAL,
            retry: Duration::from_secs(2),
            // No more than twenty in ten seconds, as clients are told of.
            gap: Duration::from_millis(525),
            burst: 20,
            refill: Duration::from_secs(1),
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
            looked: None,
            asked: false,
            paid: Duration::ZERO,
            vain: 0,
            ends: 0,
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
            // A late word of a probe that is no longer ours.
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

    /// After so many failures in a row; no longer than `most`.
    fn backoff(&self, failures: u32, most: Duration, random: u64) -> Duration {
        let times = 1 << failures.saturating_sub(1).min(16);
        let ceiling = self.pace.retry.saturating_mul(times).min(most);
        ceiling / 2 + part(ceiling / 2, random)
    }

    /// How long to do without a feed. Many servers end their streams every minute or so, and nothing is heard meanwhile.
    fn silence(&mut self, stood: bool, now: Duration, random: u64) -> Duration {
        let Pace {
            quiet, interval, ..
        } = self.pace;
        // It was opened with the last probe.
        let good = |at: Duration| stood && now.saturating_sub(at) >= quiet / 2;
        if self.looked.is_some_and(good) {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        let most = if stood { quiet } else { interval };
        self.backoff(self.ends, most, random)
    }

    /// When to look at what is announced now.
    fn heard(&mut self, now: Duration) -> Duration {
        self.asked = true;
        let gap_over = self.looked.map_or(Duration::ZERO, |at| at + self.pace.gap);
        now.max(gap_over)
            .max(self.paid.saturating_sub(self.credit()))
    }

    /// What a server may owe and still be heard.
    fn credit(&self) -> Duration {
        let more = self.pace.burst.saturating_sub(1);
        self.pace.refill.saturating_mul(more)
    }

    /// An announcement of nothing is dear, and dearer each time.
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

/// Some of `most`, evenly distributed.
fn part(most: Duration, random: u64) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests;
