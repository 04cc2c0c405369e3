//! Server-sent events: a framer for what comes, a writer for what goes. The framer keeps no more than one unfinished
//! event, and gives the same events however the bytes were cut.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use crate::pile::Pile;

/// Bounds of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseLimits {
    /// Bytes of one line.
    pub line: usize,
    /// Bytes of the data of one event.
    pub event: usize,
}

/// Bytes of an id or of a type that are kept. A longer id cannot be sent back, so it is taken for none.
const MAX_FIELD: usize = 1024;

/// Lines without data that are as much to read as one event.
const LINES: u64 = 16;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type; none means `message`.
    pub event: Option<String>,
    /// Its data, lines joined by a line feed. May be empty where only an id or a retry time was told.
    pub data: Bytes,
    /// Its id. `Some("")` resets the last one.
    pub id: Option<String>,
    /// How long to wait before reconnecting, in milliseconds.
    pub retry: Option<u64>,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line over its limit.
    #[error("a line of the event stream is longer than {0} bytes")]
    Line(usize),
    /// An event over its limit.
    #[error("an event of the stream is larger than {0} bytes")]
    Event(usize),
}

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct Framer {
    limits: SseLimits,
    /// The unfinished line.
    line: Pile,
    /// The unfinished event.
    data: Pile,
    lines: usize,
    pending: Event,
    touched: bool,
    ready: VecDeque<Event>,
    /// The last byte was a carriage return: a line feed right after it belongs to it.
    after_cr: bool,
    started: bool,
    failed: Option<SseError>,
    events: u64,
    others: u64,
}

impl Default for SseLimits {
    fn default() -> Self {
        Self {
            line: 1024 * 1024,
            event: 4 * 1024 * 1024,
        }
    }
}

impl Event {
    /// Whether it carries a message of the protocol: of type `message`, with data.
    pub fn is_message(&self) -> bool {
        !self.data.is_empty() && self.event.as_deref().is_none_or(|name| name == "message")
    }
}

impl Framer {
    /// At the start of a stream.
    pub fn new(limits: SseLimits) -> Self {
        Self {
            limits,
            line: Pile::default(),
            data: Pile::default(),
            lines: 0,
            pending: Event::default(),
            touched: false,
            ready: VecDeque::new(),
            after_cr: false,
            started: false,
            failed: None,
            events: 0,
            others: 0,
        }
    }

    /// Takes the next bytes. What they complete can be had from [`next_event`](Self::next_event). After an error the
    /// stream is done for; events before the fault can still be had.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.take(chunk)
            .inspect_err(|error| self.failed = Some(*error))
    }

    /// The next complete event. One that the end of the stream cut off is never told.
    pub fn next_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Bytes kept of an unfinished event.
    pub fn buffered(&self) -> usize {
        self.line.len() + self.data.len()
    }

    /// What all so far was to read, beside its size: events, and lines that are no data, which are far less. Comments and
    /// what says nothing are among these.
    pub fn effort(&self) -> u64 {
        self.events + self.others / LINES
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), SseError> {
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
                // Keeps its memory for the next line.
                line.clear();
                self.line = line;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), SseError> {
        let line = line.get(self.marked(line)..).unwrap_or_default();
        if line.is_empty() {
            self.others += 1;
            self.dispatch();
            return Ok(());
        }
        let colon = memchr::memchr(b':', line);
        let field = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let value = colon.and_then(|at| line.get(at + 1..)).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        self.field(field, value)
    }

    /// A line of many blocks: data is moved and not copied, and of all else no more matters than what one block holds.
    fn long_line(&mut self, line: Pile) -> Result<(), SseError> {
        let marked = if self.started { 0 } else { mark(line.first()) };
        let rest = line.first().get(marked..).unwrap_or_default();
        let Some(value) = rest.strip_prefix(b"data:") else {
            return self.line(line.first());
        };
        self.started = true;
        let space = usize::from(value.first() == Some(&b' '));
        let from = marked + b"data:".len() + space;
        self.more_data(line.len() - from)?;
        self.data.append(line, from);
        Ok(())
    }

    /// Bytes of a mark that only a stream begins with.
    fn marked(&mut self, line: &[u8]) -> usize {
        match std::mem::replace(&mut self.started, true) {
            true => 0,
            false => mark(line),
        }
    }

    /// So many bytes of data follow, on a line of their own.
    fn more_data(&mut self, bytes: usize) -> Result<(), SseError> {
        if self.data.len() + bytes + 1 > self.limits.event {
            return Err(SseError::Event(self.limits.event));
        }
        if self.lines > 0 {
            self.data.extend_from_slice(b"\n");
        }
        self.lines += 1;
        self.touched = true;
        Ok(())
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), SseError> {
        if field == b"data" {
            self.more_data(value.len())?;
            self.data.extend_from_slice(value);
            return Ok(());
        }
        self.others += 1;
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
            // Comments and what later revisions may bring.
            _ => return Ok(()),
        }
        self.touched = true;
        Ok(())
    }

    fn dispatch(&mut self) {
        if !std::mem::take(&mut self.touched) {
            return;
        }
        let mut event = std::mem::take(&mut self.pending);
        event.data = self.data.take();
        self.lines = 0;
        let telling = event.id.is_some() || event.retry.is_some();
        if telling || !event.data.is_empty() {
            self.events += 1;
            self.ready.push_back(event);
        }
    }
}

/// Bytes of the mark that some programs begin a text with.
fn mark(line: &[u8]) -> usize {
    let mark = b"\xef\xbb\xbf";
    if line.starts_with(mark) {
        mark.len()
    } else {
        0
    }
}

/// Writes one event. Its data may hold line breaks of any kind; they are read as line feeds.
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

/// One event with this data alone.
pub fn event(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 8);
    write_event(&mut out, None, data);
    out.freeze()
}

/// A comment: keeps a stream alive, and means nothing.
pub const KEEP_ALIVE: &[u8] = b": \n\n";

#[cfg(test)]
mod tests;
