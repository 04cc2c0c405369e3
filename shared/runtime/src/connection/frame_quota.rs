//! Limits HTTP/2 frames that serve no request. PING, SETTINGS and similar frames are cheap, but hyper answers them
//! below the layer that counts requests, so no other limit ends a flood of them.
//!
//! Parses frame headers only (RFC 9113, section 4.1): nine bytes, of which the first three are the payload length and
//! the fourth is the type.

use std::time::Duration;

/// Length in bytes of the client's connection preface, ahead of the first frame.
const PREFACE_BYTES: usize = 24;

/// Length in bytes of a frame header.
const FRAME_HEADER_BYTES: usize = 9;

/// Type of the frames of a body, and the flag of the last frame of a request.
const DATA: u8 = 0;
const END_STREAM: u8 = 1;

/// Types of the frames of a header block, and the flag of its last frame.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Burst of frames that serve no request.
pub const FRAME_BURST: u32 = 1_000;

/// Frames that serve no request, per second, after the burst.
pub const FRAME_RATE: u32 = 100;

/// Burst of `WINDOW_UPDATE` frames; they have a quota of their own because every response that is read causes some.
pub const WINDOW_BURST: u32 = 50_000;

/// `WINDOW_UPDATE` frames per second, after the burst.
pub const WINDOW_RATE: u32 = 10_000;

/// Frame quota of one connection; follows the bytes that it receives.
#[derive(Debug)]
pub struct FrameQuota {
    /// Bytes to skip: the rest of the preface or of the current payload.
    skip: usize,
    header: [u8; FRAME_HEADER_BYTES],
    filled: usize,
    head: HeadProgress,
    /// Requests whose body has not ended. Each may end with one empty frame.
    open_bodies: u32,
    frames: TokenBucket,
    window_updates: TokenBucket,
}

/// Progress of the header block that arrives; before the first request, of everything that precedes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadProgress {
    /// Frames of a header block are still to come.
    Expected,
    /// The payload of the last frame of a header block is still to come.
    LastPayload,
    /// No header block has begun since the last one ended.
    Complete,
}

/// Error of a connection that exceeded its frame quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFlood;

#[derive(Debug)]
struct TokenBucket {
    tokens: u32,
    burst: u32,
    rate: u32,
    /// Time of the last refill, since the connection opened.
    refilled_at: Duration,
}

impl FrameQuota {
    /// Creates the quota of a new connection.
    pub fn new() -> Self {
        Self {
            skip: PREFACE_BYTES,
            header: [0; FRAME_HEADER_BYTES],
            filled: 0,
            head: HeadProgress::Expected,
            open_bodies: 0,
            frames: TokenBucket::new(FRAME_BURST, FRAME_RATE),
            window_updates: TokenBucket::new(WINDOW_BURST, WINDOW_RATE),
        }
    }

    /// Returns `true` while the head of a request is incomplete, from the first byte of a frame header that may begin one;
    /// also from the start until the first head is complete.
    pub fn is_head_incomplete(&self) -> bool {
        self.head != HeadProgress::Complete || self.filled > 0
    }

    /// Counts the frames in received bytes; `now` is the time since the connection opened.
    pub fn observe(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), FrameFlood> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.skip == 0 && self.head == HeadProgress::LastPayload {
                self.head = HeadProgress::Complete;
            }
            let (true, Some((byte, rest))) = (self.skip == 0, bytes.split_first()) else {
                return Ok(());
            };
            bytes = rest;
            if let Some(slot) = self.header.get_mut(self.filled) {
                *slot = *byte;
            }
            self.filled += 1;
            if self.filled == FRAME_HEADER_BYTES {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = usize::try_from(length).map_err(|_huge| FrameFlood)?;
                self.follow_head(kind, flags);
                self.count_frame(kind, flags & END_STREAM != 0, length, now)?;
            }
        }
    }

    fn follow_head(&mut self, kind: u8, flags: u8) {
        if kind == HEADERS || kind == CONTINUATION {
            self.head = if flags & END_HEADERS == 0 {
                HeadProgress::Expected
            } else {
                HeadProgress::LastPayload
            };
        }
    }

    fn count_frame(
        &mut self,
        kind: u8,
        ends_stream: bool,
        length: u32,
        now: Duration,
    ) -> Result<(), FrameFlood> {
        if kind == HEADERS && !ends_stream {
            self.open_bodies = self.open_bodies.saturating_add(1);
        }
        if kind == DATA
            && ends_stream
            && let Some(open) = self.open_bodies.checked_sub(1)
        {
            // gRPC clients end every request with an empty frame.
            self.open_bodies = open;
            return Ok(());
        }
        match kind {
            // DATA with a payload, HEADERS and CONTINUATION belong to a request; hyper limits RST_STREAM.
            DATA if length > 0 => Ok(()),
            HEADERS | 3 | CONTINUATION => Ok(()),
            8 => self.window_updates.take(now),
            // PING, SETTINGS, PRIORITY, empty DATA and all other types.
            _ => self.frames.take(now),
        }
    }
}

impl TokenBucket {
    fn new(burst: u32, rate: u32) -> Self {
        Self {
            tokens: burst,
            burst,
            rate,
            refilled_at: Duration::ZERO,
        }
    }

    fn take(&mut self, now: Duration) -> Result<(), FrameFlood> {
        let seconds = now.saturating_sub(self.refilled_at).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            let left = self.tokens.saturating_add(more.saturating_mul(self.rate));
            self.tokens = left.min(self.burst);
            self.refilled_at = now;
        }
        self.tokens = self.tokens.checked_sub(1).ok_or(FrameFlood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
