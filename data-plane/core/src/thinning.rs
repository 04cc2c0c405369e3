//! How much a server may say ahead of one answer. Honest servers are told whole: what comes at once waits a moment and is
//! told in its order. What is more than anybody reads is thinned out: of progress the newest stands for what came before,
//! and is told before the answer at the latest; of log messages a note says how many were left out. Time comes in as what
//! has passed since any one moment.
//!
//! What is refused costs too, an eighth of what it would have cost: whoever is far over the rate falls to a floor of one
//! notice a second. In ten seconds of a flood these are, of progress, [`BURST`] at once, ten at the floor and the last one
//! before the answer: 17. Of log messages [`BURST`] at once, one more while the queue fills up, ten notes, and one before
//! the answer: 18. A flood whose end comes two seconds late has no more than twenty.
//!
//! `N` is a notice of progress as it came: it is made ready for the client only when it is told.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use toolgate_mcp::text::quote;

use crate::session::LogLevel;

/// How many of either may come at once, and are told at once.
pub const BURST: u32 = 6;

/// Notices of progress a second, of one call. Up to here each is told.
pub const PROGRESS_RATE: u32 = 20;

/// Log messages a second, of one call, that are told. Others wait.
pub const LOG_RATE: u32 = 50;

/// Log messages that wait. Only when there are more of them they are left out.
pub const QUEUE: usize = 256;

/// Bytes of them.
pub const QUEUE_BYTES: usize = 64 * 1024;

/// The floor: a flood of progress is told once in this time, and one of log messages has a note for each.
pub const FLOOR: Duration = Duration::from_secs(1);

/// What is refused costs this part of what it would have cost.
const REFUSED: u32 = 8;

/// What one refused log message adds to the time for which there are only notes: 400 a second and more never end it.
const WORSE: Duration = Duration::from_micros(2_500);

/// The longest that all this lasts after the last notice that was too many.
const LONGEST: Duration = Duration::from_secs(10);

/// What one call has said so far.
#[derive(Debug)]
pub struct Thinning<N> {
    progress: Allowance,
    /// When progress was told last.
    told: Duration,
    /// The newest progress, if it has not been told.
    held: Option<N>,
    logs: Allowance,
    /// Log messages that wait, in order.
    waiting: VecDeque<(LogLevel, Bytes)>,
    bytes: usize,
    /// Until when there are only notes.
    flooding: Option<Duration>,
    left_out: Option<LeftOut>,
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Say<N> {
    /// This progress.
    Progress(N),
    /// This message.
    Message(Bytes),
}

/// Log messages that nobody was told.
#[derive(Debug)]
struct LeftOut {
    count: u64,
    /// The most severe of them.
    level: LogLevel,
    since: Duration,
}

/// So many a second, and [`BURST`] at once.
#[derive(Debug)]
struct Allowance {
    each: Duration,
    slack: Duration,
    /// When all that has passed would have come, at the rate.
    arrival: Duration,
}

impl<N> Default for Thinning<N> {
    fn default() -> Self {
        Self {
            progress: Allowance::new(PROGRESS_RATE),
            told: Duration::ZERO,
            held: None,
            logs: Allowance::new(LOG_RATE),
            waiting: VecDeque::new(),
            bytes: 0,
            flooding: None,
            left_out: None,
        }
    }
}

impl<N> Thinning<N> {
    /// A notice of progress comes, further than those before. It if it is to be told now.
    pub fn progress(&mut self, notice: N, now: Duration) -> Option<N> {
        if self.progress.pass(now) || self.progress_due() <= now && self.held.is_some() {
            // What was held is not so far.
            self.held = None;
            self.told = now;
            return Some(notice);
        }
        self.progress.refuse(now);
        self.held = Some(notice);
        None
    }

    /// A log message of this level comes; `message` makes it, if it may ever be told, unless that fails. What is to be told
    /// now.
    pub fn log(
        &mut self,
        level: LogLevel,
        message: impl FnOnce() -> Option<Bytes>,
        now: Duration,
    ) -> Vec<Say<N>> {
        let mut out = Vec::new();
        if self.floods(now) {
            self.leave_out(level, now);
            return out;
        }
        let Some(message) = message() else {
            return out;
        };
        out.extend(self.note().map(Say::Message));
        self.pass_on(now, &mut out);
        if self.waiting.is_empty() && self.logs.pass(now) {
            out.push(Say::Message(message));
            return out;
        }
        self.bytes += message.len();
        self.waiting.push_back((level, message));
        if self.waiting.len() > QUEUE || self.bytes > QUEUE_BYTES {
            self.flooding = Some(now + FLOOR);
            self.bytes = 0;
            for (level, _) in std::mem::take(&mut self.waiting) {
                self.leave_out(level, now);
            }
        }
        out
    }

    /// When [`Self::overdue`] has something to tell, unless more comes before; none if nothing waits.
    pub fn due(&self) -> Option<Duration> {
        let held = self.held.as_ref().map(|_| self.progress_due());
        let next = (!self.waiting.is_empty()).then(|| self.logs.next());
        let note = self.left_out.as_ref().map(|left| left.since + FLOOR);
        held.into_iter().chain(next).chain(note).min()
    }

    /// What has waited long enough.
    pub fn overdue(&mut self, now: Duration) -> Vec<Say<N>> {
        let mut out = Vec::new();
        let late = |left: &LeftOut| left.since + FLOOR <= now;
        if self.left_out.as_ref().is_some_and(late) {
            out.extend(self.note().map(Say::Message));
        }
        self.pass_on(now, &mut out);
        if self.held.is_some() && self.progress_due() <= now {
            self.progress.pass(now);
            self.told = now;
            out.extend(self.held.take().map(Say::Progress));
        }
        out
    }

    /// What has to be told before the answer.
    pub fn rest(&mut self) -> Vec<Say<N>> {
        let note = self.note();
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        self.bytes = 0;
        note.into_iter()
            .chain(waiting.map(|(_, message)| message))
            .map(Say::Message)
            .chain(self.held.take().map(Say::Progress))
            .collect()
    }

    /// When held progress is told: at the rate, and at the floor in any case.
    fn progress_due(&self) -> Duration {
        self.progress.next().min(self.told + FLOOR)
    }

    /// Log messages that have waited until there is room for them.
    fn pass_on(&mut self, now: Duration, out: &mut Vec<Say<N>>) {
        while !self.waiting.is_empty() && self.logs.pass(now) {
            let Some((_, message)) = self.waiting.pop_front() else {
                break;
            };
            self.bytes -= message.len();
            out.push(Say::Message(message));
        }
    }

    /// Whether there are only notes.
    fn floods(&mut self, now: Duration) -> bool {
        self.flooding = self.flooding.filter(|until| *until > now);
        self.flooding.is_some()
    }

    fn leave_out(&mut self, level: LogLevel, now: Duration) {
        let until = self.flooding.map(|until| until + WORSE);
        self.flooding = until.map(|until| until.min(now + LONGEST));
        let left_out = self.left_out.get_or_insert(LeftOut {
            count: 0,
            level,
            since: now,
        });
        left_out.count += 1;
        left_out.level = left_out.level.max(level);
    }

    /// As severe as what it stands for: whoever wants to hear of less is not told more.
    fn note(&mut self) -> Option<Bytes> {
        let LeftOut { count, level, .. } = self.left_out.take()?;
        let words = quote(&format!(
            "{count} log messages of this call were left out: there were far more than {LOG_RATE} a second"
        ));
        Some(Bytes::from(format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"{}\",\"logger\":\"toolgate\",\"data\":{words}}}}}",
            level.as_str()
        )))
    }
}

impl Allowance {
    fn new(rate: u32) -> Self {
        let each = Duration::from_secs(1) / rate;
        Self {
            each,
            slack: each * BURST,
            arrival: Duration::ZERO,
        }
    }

    /// Whether one more may pass; it is counted then.
    fn pass(&mut self, now: Duration) -> bool {
        let arrival = self.arrival.max(now) + self.each;
        let fits = arrival <= now + self.slack;
        if fits {
            self.arrival = arrival;
        }
        fits
    }

    /// One more did not pass.
    fn refuse(&mut self, now: Duration) {
        let arrival = self.arrival.max(now) + self.each / REFUSED;
        self.arrival = arrival.min(now + self.slack + LONGEST);
    }

    /// When one more may pass.
    fn next(&self) -> Duration {
        (self.arrival + self.each).saturating_sub(self.slack)
    }
}

#[cfg(test)]
mod tests;
