//! What an HTTP/2 client makes us do that serves no request. Pings, settings and the like cost little each and are answered
//! before anybody counts requests, so that nothing else would end a flood of them.
//!
//! Follows frame heads only (RFC 9113, section 4.1) and understands no frame: nine bytes, of which the first three are the
//! payload's length and the fourth is the type.

use std::time::Duration;

/// What the client's preface takes ahead of its first frame.
const PREFACE: usize = 24;

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// So many frames that serve nothing may come at once.
pub(crate) const BURST: u32 = 1_000;

/// So many more every second.
pub(crate) const RATE: u32 = 100;

/// Window updates come with every answer that is read; they have an allowance of their own.
pub(crate) const WINDOW_BURST: u32 = 50_000;

/// So many more window updates every second.
pub(crate) const WINDOW_RATE: u32 = 10_000;

/// Follows one connection's bytes.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Bytes that still belong to what came before.
    skip: usize,
    head: [u8; HEAD],
    filled: usize,
    idle: Allowance,
    windows: Allowance,
}

/// More came than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood;

#[derive(Debug)]
struct Allowance {
    left: u32,
    burst: u32,
    rate: u32,
    /// When it was last filled up, since birth.
    at: Duration,
}

impl Tally {
    /// Of a new connection.
    pub(crate) fn new() -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            filled: 0,
            idle: Allowance::new(BURST, RATE),
            windows: Allowance::new(WINDOW_BURST, WINDOW_RATE),
        }
    }

    /// These bytes came, `now` after birth.
    pub(crate) fn on(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Flood> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let (true, Some((byte, rest))) = (self.skip == 0, bytes.split_first()) else {
                return Ok(());
            };
            bytes = rest;
            if let Some(slot) = self.head.get_mut(self.filled) {
                *slot = *byte;
            }
            self.filled += 1;
            if self.filled == HEAD {
                self.filled = 0;
                let [a, b, c, kind, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = usize::try_from(length).map_err(|_huge| Flood)?;
                self.frame(kind, length, now)?;
            }
        }
    }

    fn frame(&mut self, kind: u8, length: u32, now: Duration) -> Result<(), Flood> {
        match kind {
            // DATA with something in it, HEADERS and CONTINUATION are a request's; a reset is counted by the protocol.
            0 if length > 0 => Ok(()),
            1 | 3 | 9 => Ok(()),
            8 => self.windows.take(now),
            // PING, SETTINGS, PRIORITY, empty DATA, and whatever else there may be.
            _ => self.idle.take(now),
        }
    }
}

impl Allowance {
    fn new(burst: u32, rate: u32) -> Self {
        Self {
            left: burst,
            burst,
            rate,
            at: Duration::ZERO,
        }
    }

    fn take(&mut self, now: Duration) -> Result<(), Flood> {
        let seconds = now.saturating_sub(self.at).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            let left = self.left.saturating_add(more.saturating_mul(self.rate));
            self.left = left.min(self.burst);
            self.at = now;
        }
        self.left = self.left.checked_sub(1).ok_or(Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
