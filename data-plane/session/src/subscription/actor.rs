//! Actor of one `subscriptions/listen`: steps the pure state machine and writes to its only stream.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use toolgate_actor::{Actor, ActorContext};
use toolgate_data_core::notify::{
    subscription::{Event, Output, SubscriptionFilter, SubscriptionMachine},
    view_change::ListChanges,
};
use toolgate_mcp::sse;
use toolgate_model::Timestamp;
use toolgate_runtime::clock::SharedClock;

use crate::{stream::QueuedBytes, stream_timing::StreamTiming};

pub(crate) enum SubscriptionMessage {
    /// Sets the stream to write to.
    Start(mpsc::Sender<Bytes>),
    /// The part of the filter that servers agreed to is known.
    Acknowledge(SubscriptionFilter),
    /// Lists have changed.
    Changed(ListChanges),
    /// A resource was updated.
    Updated(Box<str>),
    /// Status of a task, with the client's own task id.
    Task(Box<str>, Bytes),
    /// A delay of the state machine is over.
    DelayElapsed,
    /// Timer of the next keep-alive or of the token's expiry.
    Tick,
    /// Ends the subscription with its response.
    End,
}

/// Actor of one subscription. After a panic its stream ends, and the client subscribes again.
pub(crate) struct SubscriptionActor {
    machine: SubscriptionMachine,
    stream: Option<mpsc::Sender<Bytes>>,
    queued: QueuedBytes,
    clock: SharedClock,
    timing: StreamTiming,
    expires: Option<Timestamp>,
}

impl SubscriptionActor {
    pub(crate) fn new(
        machine: SubscriptionMachine,
        clock: SharedClock,
        timing: StreamTiming,
        expires: Option<Timestamp>,
    ) -> Self {
        Self {
            machine,
            stream: None,
            queued: QueuedBytes::default(),
            clock,
            timing,
            expires,
        }
    }

    fn step(&mut self, event: Event, cx: &mut ActorContext<Self>) {
        let mut piece = Vec::new();
        let mut stop = false;
        for output in self.machine.on(event) {
            match output {
                Output::Write(message) => piece.extend_from_slice(&sse::event(&message)),
                Output::StartDelay(delay) => {
                    cx.after(self.timing.delay(delay), SubscriptionMessage::DelayElapsed);
                }
                Output::Stop => stop = true,
            }
        }
        if !piece.is_empty() {
            self.write(piece, cx);
        }
        if stop {
            self.stop(cx);
        }
    }

    /// Writes to the stream. A client that does not keep up is disconnected.
    fn write(&mut self, piece: Vec<u8>, cx: &mut ActorContext<Self>) {
        let piece = self.queued.add(piece);
        let sent = self
            .stream
            .as_ref()
            .zip(piece)
            .is_some_and(|(stream, piece)| stream.try_send(piece).is_ok());
        if !sent {
            self.stop(cx);
        }
    }

    fn stop(&mut self, cx: &mut ActorContext<Self>) {
        self.stream = None;
        cx.stop();
    }

    fn tick(&mut self, cx: &mut ActorContext<Self>) {
        let lifetime = self.token_lifetime();
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return self.step(Event::End, cx);
        }
        self.write(sse::KEEP_ALIVE.to_vec(), cx);
        self.schedule_tick(cx);
    }

    /// Schedules the next keep-alive, or the token's expiry if it comes first.
    fn schedule_tick(&self, cx: &mut ActorContext<Self>) {
        let keep_alive = self.timing.keep_alive;
        let lifetime = self.token_lifetime();
        let delay = lifetime.map_or(keep_alive, |lifetime| lifetime.min(keep_alive));
        cx.after(delay, SubscriptionMessage::Tick);
    }

    /// Returns the remaining lifetime of the token.
    fn token_lifetime(&self) -> Option<Duration> {
        let expires = self.expires?;
        Some(expires.since(self.clock.now()))
    }
}

impl Actor for SubscriptionActor {
    type Message = SubscriptionMessage;

    const KIND: &'static str = "subscription";

    fn handle(&mut self, message: SubscriptionMessage, cx: &mut ActorContext<Self>) {
        match message {
            SubscriptionMessage::Start(stream) => {
                self.stream = Some(stream);
                self.schedule_tick(cx);
            }
            SubscriptionMessage::Acknowledge(filter) => self.step(Event::Acknowledged(filter), cx),
            SubscriptionMessage::Changed(kinds) => self.step(Event::Changed(kinds), cx),
            SubscriptionMessage::Updated(uri) => self.step(Event::Updated(uri), cx),
            SubscriptionMessage::Task(id, params) => self.step(Event::Task(id, params), cx),
            SubscriptionMessage::DelayElapsed => self.step(Event::DelayElapsed, cx),
            SubscriptionMessage::Tick => self.tick(cx),
            SubscriptionMessage::End => self.step(Event::End, cx),
        }
    }

    fn observe(&self) -> serde_json::Value {
        let filter = self.machine.acknowledged();
        json!({
            "acknowledged": filter.is_some(),
            "resources": filter.map(|filter| filter.uris.len()),
            "tasks": filter.map(|filter| filter.tasks.len()),
            "waiting": self.machine.pending(),
        })
    }
}
