//! Actor of one legacy session: steps the pure state machine and writes to streams.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use toolgate_actor::{Actor, ActorContext, ReplySender};
use toolgate_data_core::{
    notify::view_change::ListChanges,
    session::{ClientSessionMachine, Event, LogLevel, Output, StreamId},
};
use toolgate_mcp::sse;
use toolgate_model::Timestamp;
use toolgate_runtime::clock::SharedClock;

use super::state::SessionState;
use crate::{
    registration::Registration,
    stream::{QueuedBytes, STREAM_QUEUE},
    stream_timing::{KEEP_ALIVE_INTERVAL, StreamTiming},
};

/// Time without use after which a session without streams is dropped from memory; its id stays valid.
pub const SESSION_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

pub(crate) enum SessionMessage {
    Open(ReplySender<(StreamId, mpsc::Receiver<Bytes>)>),
    /// A stream was dropped.
    Closed(StreamId),
    /// The client set its log level.
    SetLevel(LogLevel),
    /// Sends a message to the client.
    Send(Bytes),
    /// Lists have changed.
    Changed(ListChanges),
    /// A resource was updated.
    Updated(Box<str>),
    /// A delay of the state machine is over.
    DelayElapsed,
    /// The keep-alive interval is over.
    Tick,
    Terminate,
}

pub(crate) struct SessionActor {
    machine: ClientSessionMachine,
    streams: BTreeMap<StreamId, mpsc::Sender<Bytes>>,
    queued: QueuedBytes,
    clock: SharedClock,
    timing: StreamTiming,
    last_used: Timestamp,
    state: Weak<SessionState>,
    registration: Registration,
}

impl SessionActor {
    pub(crate) fn new(
        clock: SharedClock,
        timing: StreamTiming,
        state: Weak<SessionState>,
        registration: Registration,
    ) -> Self {
        let mut machine = ClientSessionMachine::default();
        // After a panic, the level in the shared state is still valid.
        if let Some(level) = state.upgrade().and_then(|state| state.level()) {
            machine.on(Event::SetLevel(level));
        }
        Self {
            machine,
            streams: BTreeMap::new(),
            queued: QueuedBytes::default(),
            last_used: clock.now(),
            clock,
            timing,
            state,
            registration,
        }
    }

    fn step(&mut self, event: Event, cx: &mut ActorContext<Self>) {
        let outputs = self.machine.on(event);
        self.execute(outputs, cx);
    }

    /// Executes the outputs of one step. Messages to one stream go out as one piece, so that a step takes one slot of
    /// the stream's queue regardless of its size.
    fn execute(&mut self, outputs: Vec<Output>, cx: &mut ActorContext<Self>) {
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
                Output::StartDelay(delay) => {
                    cx.after(self.timing.delay(delay), SessionMessage::DelayElapsed);
                }
                Output::Dropped(count) => {
                    tracing::debug!(count, "messages of a session were dropped");
                }
                Output::Stop => cx.stop(),
            }
        }
        self.write(piece, cx);
    }

    /// Writes to a stream. A stream with a full queue is closed; its client opens another.
    fn write(&mut self, piece: Option<(StreamId, Vec<u8>)>, cx: &mut ActorContext<Self>) {
        let Some((stream, events)) = piece else {
            return;
        };
        let sender = self.streams.get(&stream);
        let piece = self.queued.add(events);
        let sent = sender
            .zip(piece)
            .is_some_and(|(sender, piece)| sender.try_send(piece).is_ok());
        if !sent {
            self.streams.remove(&stream);
            self.step(Event::Closed(stream), cx);
        }
    }

    /// Opens a stream. The machine first names the stream and then writes the messages that waited for it, so the
    /// sender must be registered in between.
    fn open(
        &mut self,
        reply: ReplySender<(StreamId, mpsc::Receiver<Bytes>)>,
        cx: &mut ActorContext<Self>,
    ) {
        let outputs = self.machine.on(Event::Open);
        let opened = outputs.iter().find_map(|output| match output {
            Output::Opened(stream) => Some(*stream),
            Output::Write(..)
            | Output::Close(_)
            | Output::StartDelay(_)
            | Output::Dropped(_)
            | Output::Stop => None,
        });
        if let Some(stream) = opened {
            let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
            // The first bytes make intermediaries forward the response head.
            let _empty_queue = sender.try_send(Bytes::from_static(sse::KEEP_ALIVE));
            self.streams.insert(stream, sender);
            reply.send((stream, receiver));
        }
        self.execute(outputs, cx);
    }

    fn tick(&mut self, cx: &mut ActorContext<Self>) {
        let now = self.clock.now();
        let streams: Vec<StreamId> = self.machine.streams().to_vec();
        for stream in streams {
            self.write(Some((stream, sse::KEEP_ALIVE.to_vec())), cx);
        }
        if !self.machine.streams().is_empty() {
            self.last_used = now;
        }
        let subscribes = |state: Arc<SessionState>| !state.subscriptions.is_empty();
        let has_state = self.machine.level().is_some()
            || self.machine.queued() > 0
            || self.state.upgrade().is_some_and(subscribes);
        let idle = now.since(self.last_used);
        if idle >= SESSION_IDLE_TIMEOUT || (idle >= KEEP_ALIVE_INTERVAL && !has_state) {
            return cx.stop();
        }
        cx.after(self.timing.keep_alive, SessionMessage::Tick);
    }
}

impl Actor for SessionActor {
    type Message = SessionMessage;

    const KIND: &'static str = "session";

    fn started(&mut self, cx: &mut ActorContext<Self>) {
        cx.after(self.timing.keep_alive, SessionMessage::Tick);
    }

    fn handle(&mut self, message: SessionMessage, cx: &mut ActorContext<Self>) {
        match message {
            SessionMessage::Tick => return self.tick(cx),
            SessionMessage::Open(reply) => self.open(reply, cx),
            SessionMessage::Closed(stream) => {
                self.streams.remove(&stream);
                self.step(Event::Closed(stream), cx);
            }
            SessionMessage::SetLevel(level) => self.step(Event::SetLevel(level), cx),
            SessionMessage::Send(message) => self.step(Event::Send(message), cx),
            SessionMessage::Changed(kinds) => return self.step(Event::Changed(kinds), cx),
            SessionMessage::Updated(uri) => return self.step(Event::Updated(uri), cx),
            SessionMessage::DelayElapsed => return self.step(Event::DelayElapsed, cx),
            SessionMessage::Terminate => return self.step(Event::Terminate, cx),
        }
        self.last_used = self.clock.now();
    }

    fn observe(&self) -> serde_json::Value {
        json!({
            "streams": self.machine.streams().len(),
            "waiting": self.machine.queued(),
            "level": self.machine.level().map(LogLevel::as_str),
        })
    }

    fn stopped(&mut self) {
        self.registration.end();
    }
}
