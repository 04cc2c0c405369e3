//! Limits the notifications that a server sends ahead of one answer. A server within the rates is forwarded whole and
//! in order; bursts are delayed. Above the rates, the newest progress notification replaces older ones and is sent
//! before the answer at the latest, and a note counts the log messages that were dropped. Times are durations since any
//! fixed origin.
//!
//! A refused notification costs an eighth of a forwarded one, so that a flood falls to a floor of one notification per
//! second. In ten seconds of a flood, the client gets of progress [`BURST`] at once, ten at the floor and the last one
//! before the answer: 17. Of log messages it gets [`BURST`] at once, one more while the queue fills up, ten notes, and
//! one before the answer: 18. A flood whose end arrives two seconds late stays within twenty.
//!
//! `N` is a progress notification as received. It is rewritten for the client only when it is sent.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use toolgate_mcp::text::quote;

use crate::session::LogLevel;

/// Number of notifications of either kind that may arrive at once and are forwarded at once.
pub const BURST: u32 = 6;

/// Progress notifications per second of one call that are all forwarded.
pub const PROGRESS_RATE: u32 = 20;

/// Log messages per second of one call that are forwarded. More are queued.
pub const LOG_RATE: u32 = 50;

/// Maximum number of queued log messages. More are dropped.
pub const MAX_QUEUED_MESSAGES: usize = 256;

/// Maximum size of the queued log messages in bytes.
pub const MAX_QUEUED_BYTES: usize = 64 * 1024;

/// Interval at which a flood of progress is forwarded, and at which a flood of log messages has a note.
pub const FLOOR: Duration = Duration::from_secs(1);

/// Divisor of the cost of a refused notification.
const REFUSED_COST_DIVISOR: u32 = 8;

/// Time that each dropped log message adds to a flood. At 400 per second and more a flood does not end.
const FLOOD_EXTENSION: Duration = Duration::from_micros(2_500);

/// Maximum time that limits stay in force after the last refused notification.
const MAX_PENALTY: Duration = Duration::from_secs(10);

/// Rate limiter of the notifications of one call.
#[derive(Debug)]
pub struct NotificationLimiter<N> {
    progress: GcraState,
    /// Time at which progress was forwarded last.
    forwarded: Duration,
    /// The newest progress that was not forwarded.
    held: Option<N>,
    logs: GcraState,
    queue: VecDeque<(LogLevel, Bytes)>,
    queued_bytes: usize,
    /// End of the flood, during which only notes are sent.
    flood_end: Option<Duration>,
    dropped: Option<DroppedLogs>,
}

/// A notification that the client gets.
#[derive(Debug, PartialEq, Eq)]
pub enum LimitedNotification<N> {
    /// Progress, as received.
    Progress(N),
    /// A log message or a note, ready to be sent.
    Message(Bytes),
}

/// Log messages that were dropped since the last note.
#[derive(Debug)]
struct DroppedLogs {
    count: u64,
    /// The highest severity among them.
    level: LogLevel,
    since: Duration,
}

/// A rate with a burst of [`BURST`] (generic cell rate algorithm).
#[derive(Debug)]
struct GcraState {
    each: Duration,
    slack: Duration,
    /// Theoretical arrival time of all that passed.
    arrival: Duration,
}

impl<N> Default for NotificationLimiter<N> {
    fn default() -> Self {
        Self {
            progress: GcraState::new(PROGRESS_RATE),
            forwarded: Duration::ZERO,
            held: None,
            logs: GcraState::new(LOG_RATE),
            queue: VecDeque::new(),
            queued_bytes: 0,
            flood_end: None,
            dropped: None,
        }
    }
}

impl<N> NotificationLimiter<N> {
    /// Takes a progress notification with a higher value than those before. Returns it if it is to be sent now.
    pub fn progress(&mut self, notice: N, now: Duration) -> Option<N> {
        if self.progress.pass(now) || self.progress_due() <= now && self.held.is_some() {
            // The held notification has a lower value.
            self.held = None;
            self.forwarded = now;
            return Some(notice);
        }
        self.progress.refuse(now);
        self.held = Some(notice);
        None
    }

    /// Takes a log message of this level. `message` rewrites it and is called only if the message may be sent. Returns
    /// the notifications to send now.
    pub fn log(
        &mut self,
        level: LogLevel,
        message: impl FnOnce() -> Option<Bytes>,
        now: Duration,
    ) -> Vec<LimitedNotification<N>> {
        let mut out = Vec::new();
        if self.is_flooded(now) {
            self.drop_log(level, now);
            return out;
        }
        let Some(message) = message() else {
            return out;
        };
        out.extend(self.take_note().map(LimitedNotification::Message));
        self.release_queued(now, &mut out);
        if self.queue.is_empty() && self.logs.pass(now) {
            out.push(LimitedNotification::Message(message));
            return out;
        }
        self.queued_bytes += message.len();
        self.queue.push_back((level, message));
        if self.queue.len() > MAX_QUEUED_MESSAGES || self.queued_bytes > MAX_QUEUED_BYTES {
            self.flood_end = Some(now + FLOOR);
            self.queued_bytes = 0;
            for (level, _) in std::mem::take(&mut self.queue) {
                self.drop_log(level, now);
            }
        }
        out
    }

    /// Returns the time at which [`Self::take_due`] has something to send; `None` if nothing is held.
    pub fn due(&self) -> Option<Duration> {
        let held = self.held.as_ref().map(|_| self.progress_due());
        let next = (!self.queue.is_empty()).then(|| self.logs.next());
        let note = self.dropped.as_ref().map(|dropped| dropped.since + FLOOR);
        held.into_iter().chain(next).chain(note).min()
    }

    /// Returns the held notifications that are due.
    pub fn take_due(&mut self, now: Duration) -> Vec<LimitedNotification<N>> {
        let mut out = Vec::new();
        let late = |dropped: &DroppedLogs| dropped.since + FLOOR <= now;
        if self.dropped.as_ref().is_some_and(late) {
            out.extend(self.take_note().map(LimitedNotification::Message));
        }
        self.release_queued(now, &mut out);
        if self.held.is_some() && self.progress_due() <= now {
            self.progress.pass(now);
            self.forwarded = now;
            out.extend(self.held.take().map(LimitedNotification::Progress));
        }
        out
    }

    /// Returns all that has to be sent before the answer.
    pub fn flush(&mut self) -> Vec<LimitedNotification<N>> {
        let note = self.take_note();
        let waiting = std::mem::take(&mut self.queue).into_iter();
        self.queued_bytes = 0;
        note.into_iter()
            .chain(waiting.map(|(_, message)| message))
            .map(LimitedNotification::Message)
            .chain(self.held.take().map(LimitedNotification::Progress))
            .collect()
    }

    /// Returns the time at which held progress is sent: by the rate, and by the floor in any case.
    fn progress_due(&self) -> Duration {
        self.progress.next().min(self.forwarded + FLOOR)
    }

    /// Sends queued log messages as far as the rate allows.
    fn release_queued(&mut self, now: Duration, out: &mut Vec<LimitedNotification<N>>) {
        while !self.queue.is_empty() && self.logs.pass(now) {
            let Some((_, message)) = self.queue.pop_front() else {
                break;
            };
            self.queued_bytes -= message.len();
            out.push(LimitedNotification::Message(message));
        }
    }

    /// Reports if a flood is under way, during which only notes are sent.
    fn is_flooded(&mut self, now: Duration) -> bool {
        self.flood_end = self.flood_end.filter(|until| *until > now);
        self.flood_end.is_some()
    }

    fn drop_log(&mut self, level: LogLevel, now: Duration) {
        let until = self.flood_end.map(|until| until + FLOOD_EXTENSION);
        self.flood_end = until.map(|until| until.min(now + MAX_PENALTY));
        let dropped = self.dropped.get_or_insert(DroppedLogs {
            count: 0,
            level,
            since: now,
        });
        dropped.count += 1;
        dropped.level = dropped.level.max(level);
    }

    /// Builds the note for the dropped log messages, with their highest severity: a client that filters by severity is
    /// not sent more than it asked for.
    fn take_note(&mut self) -> Option<Bytes> {
        let DroppedLogs { count, level, .. } = self.dropped.take()?;
        let words = quote(&format!(
            "{count} log messages of this call were left out: there were far more than {LOG_RATE} a second"
        ));
        Some(Bytes::from(format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"{}\",\"logger\":\"toolgate\",\"data\":{words}}}}}",
            level.as_str()
        )))
    }
}

impl GcraState {
    fn new(rate: u32) -> Self {
        let each = Duration::from_secs(1) / rate;
        Self {
            each,
            slack: each * BURST,
            arrival: Duration::ZERO,
        }
    }

    /// Reports if another notification may pass, and counts it if so.
    fn pass(&mut self, now: Duration) -> bool {
        let arrival = self.arrival.max(now) + self.each;
        let fits = arrival <= now + self.slack;
        if fits {
            self.arrival = arrival;
        }
        fits
    }

    /// Counts a refused notification.
    fn refuse(&mut self, now: Duration) {
        let arrival = self.arrival.max(now) + self.each / REFUSED_COST_DIVISOR;
        self.arrival = arrival.min(now + self.slack + MAX_PENALTY);
    }

    /// Returns the time at which another notification may pass.
    fn next(&self) -> Duration {
        (self.arrival + self.each).saturating_sub(self.slack)
    }
}

#[cfg(test)]
mod tests;
