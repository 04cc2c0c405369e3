//! State machine of a legacy client session. It assigns each message to exactly one stream, queues messages while no
//! stream is open, and drops the oldest ones when the queue is full.

pub mod owning_proxy;
pub mod session_id;
pub mod upstream_log_level;
pub mod upstream_session;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::notify::{
    debouncer::Debouncer,
    view_change::{DebounceDelay, ListChanges},
};

/// Maximum number of open GET streams per session. Messages are written to the newest.
pub const MAX_STREAMS: usize = 4;

/// Maximum number of messages that wait for a stream.
pub const MAX_QUEUED_MESSAGES: usize = 64;

/// Maximum size of the messages that wait for a stream, in bytes.
pub const MAX_QUEUED_BYTES: usize = 128 * 1024;

/// Severity of a log message as in RFC 5424, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Debugging details.
    Debug,
    /// Informational message.
    Info,
    /// Normal but significant event.
    Notice,
    /// Warning condition.
    Warning,
    /// Error condition.
    Error,
    /// Critical condition.
    Critical,
    /// Action must be taken immediately.
    Alert,
    /// System is unusable.
    Emergency,
}

/// Id of a stream of the session. Ids are not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// Input of [`ClientSessionMachine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client sent `logging/setLevel`.
    SetLevel(LogLevel),
    /// The client opened a stream by GET.
    Open,
    /// A stream ended, from either side.
    Closed(StreamId),
    /// A message that belongs to no request has to be sent.
    Send(Bytes),
    /// Lists visible to the client changed.
    Changed(ListChanges),
    /// A resource that the client subscribed to, or a part of it, was updated.
    Updated(Box<str>),
    /// The delay has elapsed.
    DelayElapsed,
    /// The session ends: DELETE, idle timeout or revocation.
    Terminate,
}

/// Effects to perform, in the given order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The stream is open.
    Opened(StreamId),
    /// Write a message to the stream.
    Write(StreamId, Bytes),
    /// Close the stream.
    Close(StreamId),
    /// Feed [`Event::DelayElapsed`] after this delay.
    StartDelay(DebounceDelay),
    /// This number of messages was dropped.
    Dropped(usize),
    /// Remove the session; nothing is left to do.
    Stop,
}

/// State machine of one legacy client session.
#[derive(Debug, Clone, Default)]
pub struct ClientSessionMachine {
    level: Option<LogLevel>,
    streams: Vec<StreamId>,
    opened: u64,
    queue: VecDeque<Bytes>,
    queue_bytes: usize,
    debouncer: Debouncer,
    terminated: bool,
}

impl LogLevel {
    /// All levels, least severe first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// Name in the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// Parses the name used in the protocol.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

impl ClientSessionMachine {
    /// Level that the client set.
    pub fn level(&self) -> Option<LogLevel> {
        self.level
    }

    /// Returns `true` if the session is over.
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// Open streams, oldest first.
    pub fn streams(&self) -> &[StreamId] {
        &self.streams
    }

    /// Number of queued messages.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Number of pending resource updates.
    pub fn pending_updates(&self) -> usize {
        self.debouncer.pending_updates()
    }

    /// Applies an event and returns its effects.
    pub fn on(&mut self, event: Event) -> Vec<Output> {
        let mut out = Vec::new();
        if self.terminated {
            return out;
        }
        match event {
            Event::SetLevel(level) => self.level = Some(level),
            Event::Open => self.open(&mut out),
            Event::Closed(stream) => self.streams.retain(|open| *open != stream),
            Event::Send(message) => self.send(message, &mut out),
            Event::Changed(kinds) => {
                self.debouncer.add_list_changes(kinds);
                self.start_delay(&mut out);
            }
            Event::Updated(uri) => {
                self.add_update(uri, &mut out);
                self.start_delay(&mut out);
            }
            Event::DelayElapsed => {
                self.debouncer.delay_elapsed();
                self.flush(&mut out);
            }
            Event::Terminate => self.terminate(&mut out),
        }
        out
    }

    fn open(&mut self, out: &mut Vec<Output>) {
        self.opened += 1;
        let stream = StreamId(self.opened);
        if self.streams.len() >= MAX_STREAMS {
            out.push(Output::Close(self.streams.remove(0)));
        }
        self.streams.push(stream);
        out.push(Output::Opened(stream));
        for message in self.queue.drain(..) {
            out.push(Output::Write(stream, message));
        }
        self.queue_bytes = 0;
        self.flush(out);
    }

    fn add_update(&mut self, uri: Box<str>, out: &mut Vec<Output>) {
        if self.debouncer.add_resource_update(uri).is_err() {
            out.push(Output::Dropped(1));
        }
    }

    fn start_delay(&mut self, out: &mut Vec<Output>) {
        out.extend(self.debouncer.start_delay().map(Output::StartDelay));
    }

    /// Without an open stream, notifications stay pending; they are merged and take little memory.
    fn flush(&mut self, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.last().copied() else {
            return;
        };
        let notifications = self.debouncer.take_due();
        let messages = notifications.iter().filter_map(|it| it.to_message(None));
        out.extend(messages.map(|message| Output::Write(stream, message)));
        if !notifications.is_empty() {
            out.push(Output::StartDelay(DebounceDelay::Cooldown));
        }
    }

    fn send(&mut self, message: Bytes, out: &mut Vec<Output>) {
        if let Some(stream) = self.streams.last() {
            out.push(Output::Write(*stream, message));
            return;
        }
        self.queue_bytes += message.len();
        self.queue.push_back(message);
        let mut forgotten = 0;
        while self.queue.len() > MAX_QUEUED_MESSAGES || self.queue_bytes > MAX_QUEUED_BYTES {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            self.queue_bytes -= oldest.len();
            forgotten += 1;
        }
        if forgotten > 0 {
            out.push(Output::Dropped(forgotten));
        }
    }

    fn terminate(&mut self, out: &mut Vec<Output>) {
        self.terminated = true;
        self.queue.clear();
        self.queue_bytes = 0;
        self.debouncer.clear();
        out.extend(self.streams.drain(..).map(Output::Close));
        out.push(Output::Stop);
    }
}

#[cfg(test)]
mod tests;
