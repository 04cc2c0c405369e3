//! Actor of one upstream session: steps the pure state machine and starts its network operations.

use std::sync::{Arc, Weak};

use serde_json::json;
use toolgate_actor::{Actor, Context, Reply};
use toolgate_data_core::{
    link::{Event, Link, Output},
    port::{LinkFacts, LinkKey},
    refusal::UpstreamFailure,
};

use crate::links::{Entry, Shared};

/// Reply to a caller that waits for an upstream session.
pub(crate) type Waiter = Reply<Result<Arc<LinkFacts>, UpstreamFailure>>;

pub(crate) enum Message {
    /// A caller needs the session.
    Wanted(Waiter),
    /// A caller found the session lost at the server.
    Lost(Arc<LinkFacts>, Waiter),
    /// The handshake has completed or failed.
    Opened(Result<Arc<LinkFacts>, UpstreamFailure>),
    /// Timer to check if the session is still in use.
    Tick,
    /// The session is no longer needed.
    End,
}

pub(crate) struct LinkActor {
    key: LinkKey,
    machine: Link<Waiter>,
    shared: Weak<Shared>,
    entry: Weak<Entry>,
}

impl LinkActor {
    pub(crate) fn new(key: LinkKey, shared: Weak<Shared>, entry: Weak<Entry>) -> Self {
        // After a panic, the published session is still valid.
        let standing = entry.upgrade().and_then(|entry| entry.facts.load_full());
        Self {
            key,
            machine: Link::new(standing),
            shared,
            entry,
        }
    }

    fn run(&mut self, output: Output<Waiter>, cx: &mut Context<Self>) {
        match output {
            Output::Initialize => self.initialize(cx),
            Output::Publish(facts) => {
                if let Some(entry) = self.entry.upgrade() {
                    entry.facts.store(facts);
                }
            }
            Output::Answer(waiter, answer) => waiter.send(answer),
            Output::Terminate(facts) => {
                if let Some(shared) = self.shared.upgrade() {
                    shared.terminate(&self.key, &facts);
                }
            }
            Output::Stop => cx.stop(),
        }
    }

    fn tick(&self, cx: &mut Context<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            cx.after(shared.tick(), Message::Tick);
        }
    }

    fn initialize(&self, cx: &mut Context<Self>) {
        let opening = self
            .shared
            .upgrade()
            .map(|shared| shared.initialize(&self.key));
        cx.perform(async move {
            Message::Opened(match opening {
                Some(opening) => opening.await.unwrap_or(Err(UpstreamFailure::Unreachable)),
                None => Err(UpstreamFailure::Unreachable),
            })
        });
    }
}

impl Actor for LinkActor {
    type Message = Message;

    const KIND: &'static str = "link";

    const CAPACITY: usize = toolgate_data_core::link::WAITERS;

    fn started(&mut self, cx: &mut Context<Self>) {
        self.tick(cx);
    }

    fn handle(&mut self, message: Message, cx: &mut Context<Self>) {
        let event = match message {
            Message::Wanted(waiter) => Event::Wanted(waiter),
            Message::Lost(lost, waiter) => Event::Lost { lost, waiter },
            Message::Opened(outcome) => Event::Opened(outcome),
            Message::End => Event::End,
            Message::Tick => {
                self.tick(cx);
                match self.shared.upgrade() {
                    Some(shared) => Event::Tick(shared.now()),
                    None => Event::End,
                }
            }
        };
        for output in self.machine.on(event) {
            self.run(output, cx);
        }
    }

    fn observe(&self) -> serde_json::Value {
        json!({ "server": self.key.server.name.to_string(), "state": self.machine.state() })
    }

    fn stopped(&mut self) {
        if let (Some(shared), Some(entry)) = (self.shared.upgrade(), self.entry.upgrade()) {
            shared.forget(&self.key, &entry);
        }
    }
}
