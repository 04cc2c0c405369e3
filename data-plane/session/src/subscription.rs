//! The actor of one `subscriptions/listen`: it steps the pure machine and writes to the one stream there is.

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

/// What the actor understands.
pub(crate) enum Message {
    /// Tell everything to this one.
    Start(mpsc::Sender<Bytes>),
    /// It is known what can be honoured.
    Honoured(Filter),
    /// Lists changed.
    Changed(Kinds),
    /// A resource was updated.
    Updated(Box<str>),
    /// This task, by the client's own id, has come so far.
    Task(Box<str>, Bytes),
    /// The pause is over.
    Settled,
    /// Time to tell that the stream stands, or that it ends.
    Tick,
    /// It ends, in order.
    End,
}

/// One subscription. After a panic its stream is gone, and its client listens anew.
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

    /// A client that does not keep up is let go.
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

    /// Until the next keep-alive, or until the token's end.
    fn wait(&self, cx: &mut Context<Self>) {
        let pause = self.pace.keep_alive;
        let pause = self.left().map_or(pause, |left| left.min(pause));
        cx.after(pause, Message::Tick);
    }

    /// How long the token is still good.
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
