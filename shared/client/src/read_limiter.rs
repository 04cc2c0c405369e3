//! Rate limiting of stream reads. An ordinary stream is read without delay, at the cost of one counter. A flooding
//! stream is read in quanta with pauses in between: further data stays in the socket without wake-ups, and flow control
//! slows the server down. No data is lost.
//!
//! A state machine that receives the costs read and, on request, the current time. It counts units with a cost
//! independent of their size: events, lines without data (at the framer's lower weight), and chunks smaller than
//! [`SMALL_CHUNK`]. The size of a message costs nothing here: it has its own limit.

use std::time::Duration;

use tokio::time::Instant;

/// Allowance of a stream at any rate. The first allowance is half as much again, since its duration is unknown.
const BURST: u32 = 1_000;

/// Time to refill one unit: a thousand units per second.
const REFILL_INTERVAL: Duration = Duration::from_millis(1);

/// Maximum debt: a flooding stream is ordinary again after one and a half seconds of silence.
const MAX_DEBT: u32 = 2 * BURST;

/// Maximum pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Chunks of fewer bytes are counted.
pub(crate) const SMALL_CHUNK: usize = 1024;

/// Cost of a response that is not to be counted: one event in one chunk.
pub(crate) const ANSWER_COST: u32 = 2;

/// Read quantum of a flooding stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadQuantum {
    /// Units per quantum. Surplus units of one chunk extend the pause proportionally.
    size: u32,
    pause: Duration,
}

impl ReadQuantum {
    /// Rate while a caller waits for a response behind the events: 25,000 units per second, in 100 quanta per second.
    pub(crate) const AWAITED: Self = Self {
        size: 250,
        pause: Duration::from_millis(10),
    };

    /// Rate of background streams: 1,000 units per second, in 10 quanta per second.
    pub(crate) const BACKGROUND: Self = Self {
        size: 100,
        pause: Duration::from_millis(100),
    };
}

/// Read rate limiter of one stream.
#[derive(Debug)]
pub(crate) struct ReadLimiter {
    quantum: ReadQuantum,
    /// Units read, less the units refilled until `since`.
    debt: u32,
    since: Option<Instant>,
    /// Units read of the current quantum; `None` while the stream is not limited.
    quantum_used: Option<u32>,
}

impl ReadLimiter {
    pub(crate) fn new(quantum: ReadQuantum) -> Self {
        Self {
            quantum,
            debt: 0,
            since: None,
            quantum_used: None,
        }
    }

    /// Returns a limiter that never pauses, for tests of other limits.
    #[cfg(test)]
    pub(crate) fn unlimited() -> Self {
        Self::new(ReadQuantum {
            size: u32::MAX,
            pause: REFILL_INTERVAL,
        })
    }

    /// Counts units that were read.
    pub(crate) fn charge(&mut self, count: u32) {
        self.debt = self.debt.saturating_add(count);
        if let Some(helping) = &mut self.quantum_used {
            *helping = helping.saturating_add(count);
        }
    }

    /// Uncounts units that were requested.
    pub(crate) fn refund(&mut self, count: u32) {
        self.debt = self.debt.saturating_sub(count);
        if let Some(helping) = &mut self.quantum_used {
            *helping = helping.saturating_sub(count);
        }
    }

    /// Returns `true` if [`Self::next_pause`] must be called before reading more.
    pub(crate) fn is_exhausted(&self) -> bool {
        match self.quantum_used {
            None => self.debt >= BURST,
            Some(helping) => helping >= self.quantum.size,
        }
    }

    /// Returns `true` if the stream is read in quanta. A quantum also ends, with [`Self::next_pause`], when no more
    /// data is available.
    pub(crate) fn is_limited(&self) -> bool {
        self.quantum_used.is_some()
    }

    /// Returns the time until which the stream must not be read; `None` if it may be read without delay.
    pub(crate) fn next_pause(&mut self, now: Instant) -> Option<Instant> {
        // The first quantum consists of the units above the allowance.
        let helping = self.quantum_used.unwrap_or(self.debt.saturating_sub(BURST));
        // The elapsed time is known from the second call on.
        let passed = self.since.map(|since| now.saturating_duration_since(since));
        let passed = passed.map_or(BURST / 2, |passed| {
            u32::try_from(passed.as_millis() / REFILL_INTERVAL.as_millis()).unwrap_or(MAX_DEBT)
        });
        self.debt = self.debt.min(MAX_DEBT).saturating_sub(passed);
        self.since = Some(now);
        // Limiting starts at the whole allowance and ends at half of it, so that the clock is read rarely.
        let least = if self.quantum_used.is_some() {
            BURST / 2
        } else {
            BURST
        };
        if self.debt < least {
            self.quantum_used = None;
            return None;
        }
        self.quantum_used = Some(0);
        let times = (helping / self.quantum.size).max(1);
        Some(now + self.quantum.pause.saturating_mul(times).min(MAX_PAUSE))
    }
}

#[cfg(test)]
mod tests;
