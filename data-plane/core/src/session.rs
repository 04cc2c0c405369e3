//! State machine of a legacy client session. It assigns each message to exactly one stream, queues messages while no
//! stream is open, and drops the oldest ones when the queue is full.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    change::{Kinds, Pause},
    pacer::Pacer,
};

/// Maximum number of open GET streams per session. Messages are written to the newest.
pub const STREAMS: usize = 4;

/// Maximum number of messages that wait for a stream.
pub const QUEUE: usize = 64;

/// Maximum size of the messages that wait for a stream, in bytes.
pub const QUEUE_BYTES: usize = 256 * 1024;

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
    Say(Bytes),
    /// Lists visible to the client changed.
    Changed(Kinds),
    /// A resource that the client subscribed to, or a part of it, was updated.
    Updated(Box<str>),
    /// The delay has elapsed.
    Settled,
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
    Pause(Pause),
    /// This number of messages was dropped.
    Forgot(usize),
    /// Remove the session; nothing is left to do.
    Stop,
}

/// State machine of one legacy client session.
#[derive(Debug, Clone, Default)]
pub struct Session {
    level: Option<LogLevel>,
    streams: Vec<StreamId>,
    opened: u64,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    pacer: Pacer,
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

impl Session {
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
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number of pending resource updates.
    pub fn updates(&self) -> usize {
        self.pacer.updates()
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
            Event::Say(message) => self.say(message, &mut out),
            Event::Changed(kinds) => {
                self.pacer.change(kinds);
                self.settle(&mut out);
            }
            Event::Updated(uri) => {
                self.note(uri, &mut out);
                self.settle(&mut out);
            }
            Event::Settled => {
                self.pacer.settled();
                self.announce(&mut out);
            }
            Event::Terminate => self.terminate(&mut out),
        }
        out
    }

    fn open(&mut self, out: &mut Vec<Output>) {
        self.opened += 1;
        let stream = StreamId(self.opened);
        if self.streams.len() >= STREAMS {
            out.push(Output::Close(self.streams.remove(0)));
        }
        self.streams.push(stream);
        out.push(Output::Opened(stream));
        for message in self.waiting.drain(..) {
            out.push(Output::Write(stream, message));
        }
        self.waiting_bytes = 0;
        self.announce(out);
    }

    fn note(&mut self, uri: Box<str>, out: &mut Vec<Output>) {
        if self.pacer.update(uri).is_err() {
            out.push(Output::Forgot(1));
        }
    }

    fn settle(&mut self, out: &mut Vec<Output>) {
        out.extend(self.pacer.gather().map(Output::Pause));
    }

    /// Without an open stream, notifications stay pending; they are merged and take little memory.
    fn announce(&mut self, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.last().copied() else {
            return;
        };
        let told = self.pacer.tell();
        let messages = told.iter().filter_map(|it| it.to_message(None));
        out.extend(messages.map(|message| Output::Write(stream, message)));
        if !told.is_empty() {
            out.push(Output::Pause(Pause::Rest));
        }
    }

    fn say(&mut self, message: Bytes, out: &mut Vec<Output>) {
        if let Some(stream) = self.streams.last() {
            out.push(Output::Write(*stream, message));
            return;
        }
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
        let mut forgotten = 0;
        while self.waiting.len() > QUEUE || self.waiting_bytes > QUEUE_BYTES {
            let Some(oldest) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes -= oldest.len();
            forgotten += 1;
        }
        if forgotten > 0 {
            out.push(Output::Forgot(forgotten));
        }
    }

    fn terminate(&mut self, out: &mut Vec<Output>) {
        self.terminated = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.pacer.clear();
        out.extend(self.streams.drain(..).map(Output::Close));
        out.push(Output::Stop);
    }
}

#[cfg(test)]
mod tests;
