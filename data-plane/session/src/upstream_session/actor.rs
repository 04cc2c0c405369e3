//! Actor of one upstream session: steps the pure state machine and starts its network operations.

use std::sync::{Arc, Weak};

use serde_json::json;
use toolgate_actor::{Actor, ActorContext, ReplySender};
use toolgate_data_core::{
    port::{UpstreamSessionHandle, UpstreamSessionKey},
    refusal::UpstreamFailure,
    session::upstream_session::{Event, Output, UpstreamSessionMachine},
};

use super::registry::{UpstreamSessionContext, UpstreamSessionEntry};

/// Reply to a caller that waits for an upstream session.
pub(crate) type UpstreamSessionReply =
    ReplySender<Result<Arc<UpstreamSessionHandle>, UpstreamFailure>>;

pub(crate) enum UpstreamSessionMessage {
    /// A caller needs the session.
    Acquire(UpstreamSessionReply),
    /// A caller found the session lost at the server.
    Replace(Arc<UpstreamSessionHandle>, UpstreamSessionReply),
    /// The handshake has completed or failed.
    HandshakeDone(Result<Arc<UpstreamSessionHandle>, UpstreamFailure>),
    /// Timer to check if the session is still in use.
    Tick,
    /// The session is no longer needed.
    End,
}

pub(crate) struct UpstreamSessionActor {
    key: UpstreamSessionKey,
    machine: UpstreamSessionMachine<UpstreamSessionReply>,
    shared: Weak<UpstreamSessionContext>,
    entry: Weak<UpstreamSessionEntry>,
}

impl UpstreamSessionActor {
    pub(crate) fn new(
        key: UpstreamSessionKey,
        shared: Weak<UpstreamSessionContext>,
        entry: Weak<UpstreamSessionEntry>,
    ) -> Self {
        // After a panic, the published session is still valid.
        let standing = entry.upgrade().and_then(|entry| entry.facts.load_full());
        Self {
            key,
            machine: UpstreamSessionMachine::new(standing),
            shared,
            entry,
        }
    }

    fn execute(&mut self, output: Output<UpstreamSessionReply>, cx: &mut ActorContext<Self>) {
        match output {
            Output::Initialize => self.start_handshake(cx),
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

    fn schedule_tick(&self, cx: &mut ActorContext<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            cx.after(shared.idle_check_interval(), UpstreamSessionMessage::Tick);
        }
    }

    fn start_handshake(&self, cx: &mut ActorContext<Self>) {
        let opening = self
            .shared
            .upgrade()
            .map(|shared| shared.initialize(&self.key));
        cx.perform(async move {
            UpstreamSessionMessage::HandshakeDone(match opening {
                Some(opening) => opening.await.unwrap_or(Err(UpstreamFailure::Unreachable)),
                None => Err(UpstreamFailure::Unreachable),
            })
        });
    }
}

impl Actor for UpstreamSessionActor {
    type Message = UpstreamSessionMessage;

    const KIND: &'static str = "link";

    const CAPACITY: usize = toolgate_data_core::session::upstream_session::MAX_WAITERS;

    fn started(&mut self, cx: &mut ActorContext<Self>) {
        self.schedule_tick(cx);
    }

    fn handle(&mut self, message: UpstreamSessionMessage, cx: &mut ActorContext<Self>) {
        let event = match message {
            UpstreamSessionMessage::Acquire(waiter) => Event::Requested(waiter),
            UpstreamSessionMessage::Replace(lost, waiter) => Event::Lost { lost, waiter },
            UpstreamSessionMessage::HandshakeDone(outcome) => Event::Opened(outcome),
            UpstreamSessionMessage::End => Event::End,
            UpstreamSessionMessage::Tick => {
                self.schedule_tick(cx);
                match self.shared.upgrade() {
                    Some(shared) => Event::Tick(shared.now()),
                    None => Event::End,
                }
            }
        };
        for output in self.machine.on(event) {
            self.execute(output, cx);
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
