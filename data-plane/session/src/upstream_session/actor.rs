//! Actor of one upstream session: steps the pure state machine and starts its network operations.

use std::sync::{Arc, Weak};

use serde_json::json;
use toolgate_actor::{Actor, ActorContext, ReplySender};
use toolgate_data_core::{
    port::{UpstreamSession, UpstreamSessionKey},
    refusal::UpstreamFailure,
    session::upstream_session::{Event, Output, UpstreamSessionMachine},
};

use super::registry::{UpstreamSessionContext, UpstreamSessionEntry};

/// Reply to a caller that waits for an upstream session.
pub(crate) type UpstreamSessionReply<S> = ReplySender<Result<Arc<S>, UpstreamFailure>>;

pub(crate) enum UpstreamSessionMessage<S> {
    /// A caller needs the session.
    Acquire(UpstreamSessionReply<S>),
    /// A caller found the session lost at the server.
    Replace(Arc<S>, UpstreamSessionReply<S>),
    /// The handshake has completed or failed.
    HandshakeDone(Result<Arc<S>, UpstreamFailure>),
    /// Timer to check if the session is still in use.
    Tick,
    /// The session is no longer needed.
    End,
}

pub(crate) struct UpstreamSessionActor<S: UpstreamSession> {
    key: UpstreamSessionKey,
    machine: UpstreamSessionMachine<S, UpstreamSessionReply<S>>,
    context: Weak<UpstreamSessionContext<S>>,
    entry: Weak<UpstreamSessionEntry<S>>,
}

impl<S: UpstreamSession> UpstreamSessionActor<S> {
    pub(crate) fn new(
        key: UpstreamSessionKey,
        context: Weak<UpstreamSessionContext<S>>,
        entry: Weak<UpstreamSessionEntry<S>>,
    ) -> Self {
        // After a panic, the published session is still valid.
        let established = entry.upgrade().and_then(|entry| entry.session.load_full());
        Self {
            key,
            machine: UpstreamSessionMachine::new(established),
            context,
            entry,
        }
    }

    fn execute(&mut self, output: Output<S, UpstreamSessionReply<S>>, cx: &mut ActorContext<Self>) {
        match output {
            Output::Initialize => self.start_handshake(cx),
            Output::Publish(session) => {
                if let Some(entry) = self.entry.upgrade() {
                    entry.session.store(session);
                }
            }
            Output::Answer(reply, result) => reply.send(result),
            Output::Terminate(session) => {
                if let Some(context) = self.context.upgrade() {
                    context.terminate(&self.key, &session);
                }
            }
            Output::Stop => cx.stop(),
        }
    }

    fn schedule_tick(&self, cx: &mut ActorContext<Self>) {
        if let Some(context) = self.context.upgrade() {
            cx.after(context.idle_check_interval(), UpstreamSessionMessage::Tick);
        }
    }

    fn start_handshake(&self, cx: &mut ActorContext<Self>) {
        let handshake = self
            .context
            .upgrade()
            .map(|context| context.initialize(&self.key));
        cx.perform(async move {
            UpstreamSessionMessage::HandshakeDone(match handshake {
                Some(handshake) => handshake.await.unwrap_or(Err(UpstreamFailure::Unreachable)),
                None => Err(UpstreamFailure::Unreachable),
            })
        });
    }
}

impl<S: UpstreamSession> Actor for UpstreamSessionActor<S> {
    type Message = UpstreamSessionMessage<S>;

    const KIND: &'static str = "upstream_session";

    const CAPACITY: usize = toolgate_data_core::session::upstream_session::MAX_WAITERS;

    fn started(&mut self, cx: &mut ActorContext<Self>) {
        self.schedule_tick(cx);
    }

    fn handle(&mut self, message: UpstreamSessionMessage<S>, cx: &mut ActorContext<Self>) {
        let event = match message {
            UpstreamSessionMessage::Acquire(reply) => Event::Requested(reply),
            UpstreamSessionMessage::Replace(lost, reply) => Event::Lost {
                lost,
                waiter: reply,
            },
            UpstreamSessionMessage::HandshakeDone(result) => Event::Opened(result),
            UpstreamSessionMessage::End => Event::End,
            UpstreamSessionMessage::Tick => {
                self.schedule_tick(cx);
                match self.context.upgrade() {
                    Some(context) => Event::Tick(context.now()),
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
        if let (Some(context), Some(entry)) = (self.context.upgrade(), self.entry.upgrade()) {
            context.forget(&self.key, &entry);
        }
    }
}
