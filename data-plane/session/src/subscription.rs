//! Actor of one `subscriptions/listen`: steps the pure state machine and writes to its only stream.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc::{self, error::TrySendError};
use toolgate_actor::{Actor, Context};
use toolgate_data_core::{
    change::Kinds,
    subscription::{Event, Filter, Output, Subscription},
};
use toolgate_mcp::sse;
use toolgate_model::Timestamp;
use toolgate_runtime::clock::SharedClock;

use crate::session::Pace;

pub(crate) enum Message {
    /// Sets the stream to write to.
    Start(mpsc::Sender<Bytes>),
    /// The part of the filter that servers agreed to is known.
    Honoured(Filter),
    /// Lists have changed.
    Changed(Kinds),
    /// A resource was updated.
    Updated(Box<str>),
    /// Status of a task, with the client's own task id.
    Task(Box<str>, Bytes),
    /// A delay of the state machine is over.
    Settled,
    /// Timer of the next keep-alive or of the token's expiry.
    Tick,
    /// Ends the subscription with its response.
    End,
}

/// Actor of one subscription. After a panic its stream ends, and the client subscribes again.
pub(crate) struct SubscriptionActor {
    machine: Subscription,
    stream: Option<mpsc::Sender<Bytes>>,
    clock: SharedClock,
    pace: Pace,
    expires: Option<Timestamp>,
}

impl SubscriptionActor {
    pub(crate) fn new(
        machine: Subscription,
        clock: SharedClock,
        pace: Pace,
        expires: Option<Timestamp>,
    ) -> Self {
        Self {
            machine,
            stream: None,
            clock,
            pace,
            expires,
        }
    }

    fn step(&mut self, event: Event, cx: &mut Context<Self>) {
        let mut piece = Vec::new();
        let mut over = false;
        for output in self.machine.on(event) {
            match output {
                Output::Write(message) => piece.extend_from_slice(&sse::event(&message)),
                Output::Pause(pause) => {
                    cx.after(self.pace.of(pause), Message::Settled);
                }
                Output::Stop => over = true,
            }
        }
        if !piece.is_empty() {
            self.write(Bytes::from(piece), cx);
        }
        if over {
            self.stop(cx);
        }
    }

    /// Writes to the stream. A client that does not keep up is disconnected.
    fn write(&mut self, piece: Bytes, cx: &mut Context<Self>) {
        let sent = self.stream.as_ref().map(|stream| stream.try_send(piece));
        match sent {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_) | TrySendError::Closed(_))) | None => self.stop(cx),
        }
    }

    fn stop(&mut self, cx: &mut Context<Self>) {
        self.stream = None;
        cx.stop();
    }

    fn tick(&mut self, cx: &mut Context<Self>) {
        let left = self.left();
        if left.is_some_and(|left| left.is_zero()) {
            return self.step(Event::End, cx);
        }
        self.write(Bytes::from_static(sse::KEEP_ALIVE), cx);
        self.wait(cx);
    }

    /// Schedules the next keep-alive, or the token's expiry if it comes first.
    fn wait(&self, cx: &mut Context<Self>) {
        let pause = self.pace.keep_alive;
        let pause = self.left().map_or(pause, |left| left.min(pause));
        cx.after(pause, Message::Tick);
    }

    /// Returns the remaining lifetime of the token.
    fn left(&self) -> Option<Duration> {
        let expires = self.expires?;
        Some(expires.since(self.clock.now()))
    }
}

impl Actor for SubscriptionActor {
    type Message = Message;

    const KIND: &'static str = "subscription";

    fn handle(&mut self, message: Message, cx: &mut Context<Self>) {
        match message {
            Message::Start(stream) => {
                self.stream = Some(stream);
                self.wait(cx);
            }
            Message::Honoured(filter) => self.step(Event::Honoured(filter), cx),
            Message::Changed(kinds) => self.step(Event::Changed(kinds), cx),
            Message::Updated(uri) => self.step(Event::Updated(uri), cx),
            Message::Task(id, params) => self.step(Event::Task(id, params), cx),
            Message::Settled => self.step(Event::Settled, cx),
            Message::Tick => self.tick(cx),
            Message::End => self.step(Event::End, cx),
        }
    }

    fn observe(&self) -> serde_json::Value {
        let honoured = self.machine.honoured();
        json!({
            "acknowledged": honoured.is_some(),
            "resources": honoured.map(|filter| filter.uris.len()),
            "tasks": honoured.map(|filter| filter.tasks.len()),
            "waiting": self.machine.waiting(),
        })
    }
}
