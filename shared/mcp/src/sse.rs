//! Server-sent events: a decoder for received streams and an encoder for events. The decoder buffers at most one
//! unfinished event, and yields the same events however the bytes are split into chunks.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use crate::chunked_buffer::ChunkedBuffer;

/// Limits of an event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseLimits {
    /// Maximum size of a line in bytes.
    pub line: usize,
    /// Maximum size of the data of an event in bytes.
    pub event: usize,
}

/// Maximum length of an event id or type in bytes. A longer type is cut. A longer id could not be sent back and is
/// treated as empty.
const MAX_FIELD: usize = 1024;

/// Number of lines without data that count as one event in the read cost.
const LINES_PER_EVENT: u64 = 16;

/// Server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Event type. `None` means `message`.
    pub event: Option<String>,
    /// Data, with its lines joined by line feeds. May be empty if the event only sets an id or a retry time.
    pub data: Bytes,
    /// Event id. `Some("")` resets the last event id.
    pub id: Option<String>,
    /// Reconnection delay in milliseconds.
    pub retry: Option<u64>,
}

/// Error that makes a stream unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line exceeds its limit.
    #[error("a line of the event stream is longer than {0} bytes")]
    Line(usize),
    /// An event exceeds its limit.
    #[error("an event of the stream is larger than {0} bytes")]
    Event(usize),
}

/// Decodes a byte stream into events.
#[derive(Debug)]
pub struct SseDecoder {
    limits: SseLimits,
    /// Unfinished line.
    line: ChunkedBuffer,
    /// Data of the unfinished event.
    data: ChunkedBuffer,
    lines: usize,
    pending: SseEvent,
    has_fields: bool,
    ready: VecDeque<SseEvent>,
    /// True if the last byte was a carriage return. A line feed directly after it belongs to the same line end.
    after_cr: bool,
    started: bool,
    failed: Option<SseError>,
    events: u64,
    other_lines: u64,
}

impl Default for SseLimits {
    fn default() -> Self {
        Self {
            line: 1024 * 1024,
            event: 4 * 1024 * 1024,
        }
    }
}

impl SseEvent {
    /// Returns `true` if the event carries a protocol message: its type is `message` and it has data.
    pub fn is_message(&self) -> bool {
        !self.data.is_empty() && self.event.as_deref().is_none_or(|name| name == "message")
    }
}

impl SseDecoder {
    /// Creates a decoder for the start of a stream.
    pub fn new(limits: SseLimits) -> Self {
        Self {
            limits,
            line: ChunkedBuffer::default(),
            data: ChunkedBuffer::default(),
            lines: 0,
            pending: SseEvent::default(),
            has_fields: false,
            ready: VecDeque::new(),
            after_cr: false,
            started: false,
            failed: None,
            events: 0,
            other_lines: 0,
        }
    }

    /// Decodes the next bytes. Completed events are returned by [`next_event`](Self::next_event). After an error no
    /// more bytes are accepted; events completed before the error are still available.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.consume(chunk)
            .inspect_err(|error| self.failed = Some(*error))
    }

    /// Returns the next complete event. An event cut off by the end of the stream is never returned.
    pub fn next_event(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    /// Returns the number of bytes buffered for an unfinished event.
    pub fn buffered(&self) -> usize {
        self.line.len() + self.data.len()
    }

    /// Returns the cost of reading the stream so far, apart from its size: the number of events plus a fraction of the
    /// number of other lines, which are much cheaper. Comments and empty lines count as other lines.
    pub fn read_cost(&self) -> u64 {
        self.events + self.other_lines / LINES_PER_EVENT
    }

    fn consume(&mut self, chunk: &[u8]) -> Result<(), SseError> {
        let mut rest = chunk;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let end = memchr2(b'\n', b'\r', rest);
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            if self.line.len() + part.len() > self.limits.line {
                return Err(SseError::Line(self.limits.line));
            }
            let Some(end) = end else {
                self.line.extend_from_slice(part);
                return Ok(());
            };
            self.after_cr = rest.get(end) == Some(&b'\r');
            rest = rest.get(end + 1..).unwrap_or_default();
            if self.line.is_empty() {
                self.line(part)?;
            } else {
                self.line.extend_from_slice(part);
                let mut line = std::mem::take(&mut self.line);
                if line.is_long() {
                    self.long_line(line)?;
                    continue;
                }
                self.line(line.first())?;
                // Reuses the memory for the next line.
                line.clear();
                self.line = line;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), SseError> {
        let line = line
            .get(self.byte_order_mark_len(line)..)
            .unwrap_or_default();
        if line.is_empty() {
            self.other_lines += 1;
            self.dispatch();
            return Ok(());
        }
        let colon = memchr::memchr(b':', line);
        let field = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let value = colon.and_then(|at| line.get(at + 1..)).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        self.field(field, value)
    }

    /// Processes a line of more than one block. Data is moved, not copied. For other fields only the first block is
    /// considered, since longer values are not kept anyway.
    fn long_line(&mut self, line: ChunkedBuffer) -> Result<(), SseError> {
        let marked = if self.started {
            0
        } else {
            leading_mark_len(line.first())
        };
        let rest = line.first().get(marked..).unwrap_or_default();
        let Some(value) = rest.strip_prefix(b"data:") else {
            return self.line(line.first());
        };
        self.started = true;
        let space = usize::from(value.first() == Some(&b' '));
        let from = marked + b"data:".len() + space;
        self.begin_data_line(line.len() - from)?;
        self.data.append(line, from);
        Ok(())
    }

    /// Returns the length of the byte order mark, which is only recognized at the start of a stream.
    fn byte_order_mark_len(&mut self, line: &[u8]) -> usize {
        match std::mem::replace(&mut self.started, true) {
            true => 0,
            false => leading_mark_len(line),
        }
    }

    /// Prepares for a line of `bytes` bytes of data.
    fn begin_data_line(&mut self, bytes: usize) -> Result<(), SseError> {
        if self.data.len() + bytes + 1 > self.limits.event {
            return Err(SseError::Event(self.limits.event));
        }
        if self.lines > 0 {
            self.data.extend_from_slice(b"\n");
        }
        self.lines += 1;
        self.has_fields = true;
        Ok(())
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), SseError> {
        if field == b"data" {
            self.begin_data_line(value.len())?;
            self.data.extend_from_slice(value);
            return Ok(());
        }
        self.other_lines += 1;
        match field {
            b"event" => {
                let name = value.get(..MAX_FIELD).unwrap_or(value);
                let name = String::from_utf8_lossy(name).into_owned();
                self.pending.event = Some(name).filter(|name| !name.is_empty());
            }
            b"id" if value.len() > MAX_FIELD => self.pending.id = Some(String::new()),
            b"id" if !value.contains(&0) => {
                self.pending.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" => {
                let number = std::str::from_utf8(value).ok();
                let digits = number.filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
                let Some(retry) = digits.and_then(|t| t.parse().ok()) else {
                    return Ok(());
                };
                self.pending.retry = Some(retry);
            }
            // Comments and unknown fields are ignored.
            _ => return Ok(()),
        }
        self.has_fields = true;
        Ok(())
    }

    fn dispatch(&mut self) {
        if !std::mem::take(&mut self.has_fields) {
            return;
        }
        let mut event = std::mem::take(&mut self.pending);
        event.data = self.data.take();
        self.lines = 0;
        let moves_cursor = event.id.is_some() || event.retry.is_some();
        if moves_cursor || !event.data.is_empty() {
            self.events += 1;
            self.ready.push_back(event);
        }
    }
}

/// Returns the length of a leading byte order mark.
fn leading_mark_len(line: &[u8]) -> usize {
    let mark = b"\xef\xbb\xbf";
    if line.starts_with(mark) {
        mark.len()
    } else {
        0
    }
}

/// Encodes one event. Line breaks of any kind in the data are decoded as line feeds by the receiver.
pub fn write_event(out: &mut BytesMut, id: Option<&str>, data: &[u8]) {
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend(id.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)));
        out.extend_from_slice(b"\n");
    }
    let mut rest = data;
    loop {
        let end = memchr2(b'\n', b'\r', rest);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
        out.extend_from_slice(b"\n");
        let Some(end) = end else { break };
        let pair = rest.get(end..end + 2) == Some(b"\r\n");
        rest = rest.get(end + 1 + usize::from(pair)..).unwrap_or_default();
    }
    out.extend_from_slice(b"\n");
}

/// Encodes an event that only has data.
pub fn event(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 8);
    write_event(&mut out, None, data);
    out.freeze()
}

/// Comment that keeps a stream open. It has no other meaning.
pub const KEEP_ALIVE: &[u8] = b": \n\n";

#[cfg(test)]
mod tests;
