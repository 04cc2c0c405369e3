//! How much a server may say ahead of one answer. What is more than any client could follow is thinned out: of progress
//! the newest stands for what came before, and is told before the answer at the latest; of log messages a note says how
//! many were left out. Time comes in as what has passed since any one moment.

use std::time::Duration;

use bytes::Bytes;
use toolgate_mcp::text::quote;

use crate::session::LogLevel;

/// Notices of progress a second, of one call.
pub const PROGRESS_RATE: u32 = 50;

/// How many of them may come at once.
pub const PROGRESS_BURST: u32 = 100;

/// Log messages a second, of one call.
pub const LOG_RATE: u32 = 100;

/// How many of them may come at once.
pub const LOG_BURST: u32 = 500;

/// From the first log message that is left out to the note that says so: further ones join.
pub const NOTE: Duration = Duration::from_secs(1);

/// What one call has said so far.
#[derive(Debug)]
pub struct Thinning {
    progress: Allowance,
    logs: Allowance,
    /// The newest progress, if it has not been told.
    held: Option<Bytes>,
    left_out: Option<LeftOut>,
}

/// Log messages that nobody was told.
#[derive(Debug)]
struct LeftOut {
    count: u64,
    /// The most severe of them.
    level: LogLevel,
    since: Duration,
}

/// So many a second, and some more at once.
#[derive(Debug)]
struct Allowance {
    each: Duration,
    slack: Duration,
    /// When all that has passed would have come, at the rate.
    arrival: Duration,
}

impl Default for Thinning {
    fn default() -> Self {
        Self {
            progress: Allowance::new(PROGRESS_RATE, PROGRESS_BURST),
            logs: Allowance::new(LOG_RATE, LOG_BURST),
            held: None,
            left_out: None,
        }
    }
}

impl Thinning {
    /// A notice of progress comes, further than those before. It if it is to be told now.
    pub fn progress(&mut self, notice: Bytes, now: Duration) -> Option<Bytes> {
        if self.progress.pass(now) {
            // What was held is not so far.
            self.held = None;
            return Some(notice);
        }
        self.held = Some(notice);
        None
    }

    /// A log message comes. It if it is to be told.
    pub fn log(&mut self, level: LogLevel, message: Bytes, now: Duration) -> Option<Bytes> {
        if self.logs.pass(now) {
            return Some(message);
        }
        let left_out = self.left_out.get_or_insert(LeftOut {
            count: 0,
            level,
            since: now,
        });
        left_out.count += 1;
        left_out.level = left_out.level.max(level);
        None
    }

    /// When [`Self::overdue`] has something to tell, unless more comes before; none if nothing waits.
    pub fn due(&self) -> Option<Duration> {
        let held = self.held.as_ref().map(|_| self.progress.next());
        let note = self.left_out.as_ref().map(|left| left.since + NOTE);
        held.into_iter().chain(note).min()
    }

    /// What has waited long enough.
    pub fn overdue(&mut self, now: Duration) -> Vec<Bytes> {
        let mut out = Vec::new();
        if self
            .left_out
            .as_ref()
            .is_some_and(|left| left.since + NOTE <= now)
        {
            out.extend(self.note());
        }
        if self.held.is_some() && self.progress.pass(now) {
            out.extend(self.held.take());
        }
        out
    }

    /// What has to be told before the answer.
    pub fn rest(&mut self) -> Vec<Bytes> {
        self.note().into_iter().chain(self.held.take()).collect()
    }

    /// As severe as what it stands for: whoever wants to hear of less is not told more.
    fn note(&mut self) -> Option<Bytes> {
        let LeftOut { count, level, .. } = self.left_out.take()?;
        let words = quote(&format!(
            "{count} log messages of this call were left out: there were more than {LOG_RATE} a second"
        ));
        Some(Bytes::from(format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"{}\",\"logger\":\"toolgate\",\"data\":{words}}}}}",
            level.as_str()
        )))
    }
}

impl Allowance {
    fn new(rate: u32, burst: u32) -> Self {
        let each = Duration::from_secs(1) / rate;
        Self {
            each,
            slack: each * burst,
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

    /// When one more may pass.
    fn next(&self) -> Duration {
        (self.arrival + self.each).saturating_sub(self.slack)
    }
}

#[cfg(test)]
mod tests;
