//! The actor of one parked call: it owns the call until its client comes back, or does not.

use std::sync::Weak;

use serde_json::json;
use tokio::runtime;
use toolgate_actor::{Actor, ActorContext, ReplySender};
use toolgate_data_core::parked::{Event, Handle, LIFE, Output, ParkedCall};

use crate::parking::{Entry, Shared};

/// What the actor understands.
pub(crate) enum Message<P> {
    /// The client came back.
    Claim(ReplySender<Option<P>>),
    /// Time to look whether it still may.
    Tick,
    /// The proxy ends.
    End,
}

/// One parked call.
pub(crate) struct ParkedActor<P: Send + Unpin + 'static> {
    name: Handle,
    machine: ParkedCall,
    /// Gone after a panic: then nobody is handed anything.
    call: Option<P>,
    shared: Weak<Shared<P>>,
    entry: Weak<Entry<P>>,
    /// Where the call's connection lives, and what takes it back.
    runtime: runtime::Handle,
}

impl<P: Send + Unpin + 'static> ParkedActor<P> {
    pub(crate) fn new(
        name: Handle,
        call: Option<P>,
        shared: Weak<Shared<P>>,
        entry: Weak<Entry<P>>,
        runtime: runtime::Handle,
    ) -> Self {
        let now = shared.upgrade().map(|shared| shared.now());
        Self {
            name,
            machine: ParkedCall::new(now.unwrap_or_default()),
            call,
            shared,
            entry,
            runtime,
        }
    }

    fn run(&mut self, output: Output<ReplySender<Option<P>>>, cx: &mut ActorContext<Self>) {
        match output {
            Output::HandOver(reply) if reply.is_abandoned() => self.let_go(),
            Output::HandOver(reply) => reply.send(self.call.take()),
            Output::Deny(reply) => reply.send(None),
            Output::LetGo => self.let_go(),
            Output::Stop => cx.stop(),
        }
    }

    fn let_go(&mut self) {
        let _entered = self.runtime.enter();
        drop(self.call.take());
    }
}

impl<P: Send + Unpin + 'static> Actor for ParkedActor<P> {
    type Message = Message<P>;

    const KIND: &'static str = "parked";

    fn started(&mut self, cx: &mut ActorContext<Self>) {
        cx.after(LIFE, Message::Tick);
    }

    fn handle(&mut self, message: Message<P>, cx: &mut ActorContext<Self>) {
        let event = match message {
            Message::Claim(reply) => Event::Claimed(reply),
            Message::End => Event::End,
            Message::Tick => match self.shared.upgrade() {
                // The timer and the clock need not agree to the millisecond.
                Some(shared) if shared.now() >= self.machine.until() => Event::Tick(shared.now()),
                Some(_) => {
                    cx.after(std::time::Duration::from_secs(1), Message::Tick);
                    return;
                }
                None => Event::End,
            },
        };
        for output in self.machine.on(event) {
            self.run(output, cx);
        }
    }

    fn observe(&self) -> serde_json::Value {
        json!({ "waiting": self.machine.is_waiting() })
    }

    fn stopped(&mut self) {
        self.let_go();
        if let (Some(shared), Some(entry)) = (self.shared.upgrade(), self.entry.upgrade()) {
            shared.forget(&self.name, &entry);
        }
    }
}
