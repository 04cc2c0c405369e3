//! The conversation of one legacy client, as a machine: events in, outputs out. It decides which stream a message
//! goes to (exactly one), what waits while there is none, and what is forgotten first.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    change::{Kinds, Pause},
    pacer::Pacer,
};

/// Streams for what the server has to say that one session may have open; the newest is written to.
pub const STREAMS: usize = 4;

/// Messages that wait for a stream.
pub const QUEUE: usize = 64;

/// Bytes of messages that wait for a stream.
pub const QUEUE_BYTES: usize = 256 * 1024;

/// How severe a log message is, as in RFC 5424. Ordered: later is more severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Detailed.
    Debug,
    /// Ordinary.
    Info,
    /// Worth a look.
    Notice,
    /// Warning.
    Warning,
    /// Error.
    Error,
    /// Critical.
    Critical,
    /// At once.
    Alert,
    /// Unusable.
    Emergency,
}

/// A stream of the session. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `logging/setLevel` came.
    SetLevel(LogLevel),
    /// The client opened a stream by GET.
    Open,
    /// A stream ended, whoever ended it.
    Closed(StreamId),
    /// Something to say that belongs to no request.
    Say(Bytes),
    /// Lists of what the client may see changed.
    Changed(Kinds),
    /// A resource that the client watches was updated, or a part of it.
    Updated(Box<str>),
    /// The pause is over.
    Settled,
    /// The session is over: DELETE, idle, or revoked.
    Terminate,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// This stream stands.
    Opened(StreamId),
    /// Write this to that stream.
    Write(StreamId, Bytes),
    /// End that stream.
    Close(StreamId),
    /// Say [`Event::Settled`] after this pause.
    Pause(Pause),
    /// So many messages were forgotten.
    Forgot(usize),
    /// There is nothing left to do: forget the session.
    Stop,
}

/// One session.
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
    /// All, least severe first.
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

    /// As on the wire.
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

    /// From the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

impl Session {
    /// What the client set.
    pub fn level(&self) -> Option<LogLevel> {
        self.level
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// Open streams, oldest first.
    pub fn streams(&self) -> &[StreamId] {
        &self.streams
    }

    /// How many messages wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many updates of resources wait to be told.
    pub fn updates(&self) -> usize {
        self.pacer.updates()
    }

    /// Takes an event.
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

    /// Without a stream it waits, and takes little room.
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
