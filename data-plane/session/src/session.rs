//! Actor of one legacy session: steps the pure state machine and writes to streams.

use std::{collections::BTreeMap, sync::Weak, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use toolgate_actor::{Actor, Context, Reply};
use toolgate_data_core::{
    change::{Kinds, Pause},
    session::{Event, LogLevel, Output, Session, StreamId},
};
use toolgate_mcp::sse;
use toolgate_model::Timestamp;
use toolgate_runtime::clock::SharedClock;

use crate::{
    sessions::{Registry, SessionKey, Standing},
    stream::STREAM_QUEUE,
};

/// Interval of keep-alive comments on an idle stream.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Delay from a first change to its notification; further changes join it.
pub const GATHER: Duration = Duration::from_millis(50);

/// Minimum time between two change notifications: at most 20 in ten seconds. Together with a probe's delay it stays
/// below one second.
pub const REST: Duration = Duration::from_millis(550);

/// Time without use after which a session without streams is dropped from memory; its id stays valid.
pub const IDLE: Duration = Duration::from_secs(30 * 60);

/// Timing of keep-alives and change notifications.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) keep_alive: Duration,
    pub(crate) gather: Duration,
    pub(crate) rest: Duration,
}

pub(crate) enum Message {
    Open(Reply<(StreamId, mpsc::Receiver<Bytes>)>),
    /// A stream was dropped.
    Closed(StreamId),
    /// The client set its log level.
    SetLevel(LogLevel),
    /// Sends a message to the client.
    Say(Bytes),
    /// Lists have changed.
    Changed(Kinds),
    /// A resource was updated.
    Updated(Box<str>),
    /// A delay of the state machine is over.
    Settled,
    /// The keep-alive interval is over.
    Tick,
    Terminate,
}

pub(crate) struct SessionActor {
    key: SessionKey,
    machine: Session,
    streams: BTreeMap<StreamId, mpsc::Sender<Bytes>>,
    clock: SharedClock,
    pace: Pace,
    touched: Timestamp,
    expires: Option<Timestamp>,
    registry: Weak<Registry>,
    standing: Weak<Standing>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            keep_alive: KEEP_ALIVE,
            gather: GATHER,
            rest: REST,
        }
    }
}

impl Pace {
    pub(crate) fn of(self, pause: Pause) -> Duration {
        match pause {
            Pause::Gather => self.gather,
            Pause::Rest => self.rest,
        }
    }
}

impl SessionActor {
    pub(crate) fn new(
        key: SessionKey,
        clock: SharedClock,
        pace: Pace,
        expires: Option<Timestamp>,
        registry: Weak<Registry>,
        standing: Weak<Standing>,
    ) -> Self {
        let mut machine = Session::default();
        // After a panic, the level in the registry entry is still valid.
        if let Some(level) = standing.upgrade().and_then(|standing| standing.level()) {
            machine.on(Event::SetLevel(level));
        }
        Self {
            key,
            machine,
            streams: BTreeMap::new(),
            touched: clock.now(),
            clock,
            pace,
            expires,
            registry,
            standing,
        }
    }

    fn step(&mut self, event: Event, cx: &mut Context<Self>) {
        let outputs = self.machine.on(event);
        self.run(outputs, cx);
    }

    /// Executes the outputs of one step. Messages to one stream go out as one piece, so that a step takes one slot of
    /// the stream's queue regardless of its size.
    fn run(&mut self, outputs: Vec<Output>, cx: &mut Context<Self>) {
        let mut piece: Option<(StreamId, Vec<u8>)> = None;
        for output in outputs {
            match output {
                // The sender is created by `open`.
                Output::Opened(_) => {}
                Output::Write(stream, message) => {
                    let event = sse::event(&message);
                    match &mut piece {
                        Some((same, events)) if *same == stream => events.extend_from_slice(&event),
                        other => {
                            let before = other.replace((stream, event.to_vec()));
                            self.write(before, cx);
                        }
                    }
                }
                Output::Close(stream) => {
                    self.streams.remove(&stream);
                }
                Output::Pause(pause) => {
                    cx.after(self.pace.of(pause), Message::Settled);
                }
                Output::Forgot(count) => {
                    tracing::debug!(count, "messages of a session were forgotten");
                }
                Output::Stop => cx.stop(),
            }
        }
        self.write(piece, cx);
    }

    /// Writes to a stream. A stream with a full queue is closed; its client opens another.
    fn write(&mut self, piece: Option<(StreamId, Vec<u8>)>, cx: &mut Context<Self>) {
        let Some((stream, events)) = piece else {
            return;
        };
        let sender = self.streams.get(&stream);
        let sent = sender.map(|sender| sender.try_send(Bytes::from(events)));
        if !matches!(sent, Some(Ok(()))) {
            self.streams.remove(&stream);
            self.step(Event::Closed(stream), cx);
        }
    }

    /// Opens a stream. The machine first names the stream and then writes the messages that waited for it, so the
    /// sender must be registered in between.
    fn open(&mut self, reply: Reply<(StreamId, mpsc::Receiver<Bytes>)>, cx: &mut Context<Self>) {
        let outputs = self.machine.on(Event::Open);
        let opened = outputs.iter().find_map(|output| match output {
            Output::Opened(stream) => Some(*stream),
            Output::Write(..)
            | Output::Close(_)
            | Output::Pause(_)
            | Output::Forgot(_)
            | Output::Stop => None,
        });
        if let Some(stream) = opened {
            let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
            // The first bytes make intermediaries forward the response head.
            let _empty_queue = sender.try_send(Bytes::from_static(sse::KEEP_ALIVE));
            self.streams.insert(stream, sender);
            reply.send((stream, receiver));
        }
        self.run(outputs, cx);
    }

    fn tick(&mut self, cx: &mut Context<Self>) {
        let now = self.clock.now();
        if self.expires.is_some_and(|expires| expires <= now) {
            return self.step(Event::Terminate, cx);
        }
        let streams: Vec<StreamId> = self.machine.streams().to_vec();
        for stream in streams {
            self.write(Some((stream, sse::KEEP_ALIVE.to_vec())), cx);
        }
        if !self.machine.streams().is_empty() {
            self.touched = now;
        }
        let standing = self.standing.upgrade();
        let remembers = self.machine.level().is_some()
            || self.machine.waiting() > 0
            || standing.is_some_and(|standing| standing.watches());
        let idle = now.since(self.touched);
        if idle >= IDLE || (idle >= KEEP_ALIVE && !remembers) {
            return cx.stop();
        }
        cx.after(self.pace.keep_alive, Message::Tick);
    }
}

impl Actor for SessionActor {
    type Message = Message;

    const KIND: &'static str = "session";

    fn started(&mut self, cx: &mut Context<Self>) {
        cx.after(self.pace.keep_alive, Message::Tick);
    }

    fn handle(&mut self, message: Message, cx: &mut Context<Self>) {
        match message {
            Message::Tick => return self.tick(cx),
            Message::Open(reply) => self.open(reply, cx),
            Message::Closed(stream) => {
                self.streams.remove(&stream);
                self.step(Event::Closed(stream), cx);
            }
            Message::SetLevel(level) => self.step(Event::SetLevel(level), cx),
            Message::Say(message) => self.step(Event::Say(message), cx),
            Message::Changed(kinds) => return self.step(Event::Changed(kinds), cx),
            Message::Updated(uri) => return self.step(Event::Updated(uri), cx),
            Message::Settled => return self.step(Event::Settled, cx),
            Message::Terminate => return self.step(Event::Terminate, cx),
        }
        self.touched = self.clock.now();
    }

    fn observe(&self) -> serde_json::Value {
        json!({
            "streams": self.machine.streams().len(),
            "waiting": self.machine.waiting(),
            "level": self.machine.level().map(LogLevel::as_str),
        })
    }

    fn stopped(&mut self) {
        if let (Some(registry), Some(standing)) = (self.registry.upgrade(), self.standing.upgrade())
        {
            registry.forget(&self.key, &standing);
        }
    }
}
