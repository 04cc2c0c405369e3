//! Actor of one suspended call: it owns the call until the client comes back or the call is cancelled.

use std::time::Duration;

use serde_json::json;
use tokio::runtime;
use toolgate_actor::{Actor, ActorContext, ReplySender};
use toolgate_data_core::call::suspended::{
    SUSPENSION_LIFETIME, SuspensionEvent, SuspensionMachine, SuspensionOutput,
};

use toolgate_runtime::clock::SharedClock;

use crate::registration::Registration;

/// Interval at which a call whose timer fired early compares its lifetime with the clock again.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// Message to the actor.
pub(crate) enum SuspendedCallMessage<P> {
    /// The client came back.
    Claim(ReplySender<Option<P>>),
    /// The lifetime of the call may be over.
    Tick,
    /// The proxy ends.
    End,
}

/// Owner of one suspended call.
pub(crate) struct SuspendedCallActor<P: Send + Unpin + 'static> {
    machine: SuspensionMachine,
    /// `None` after a panic: the call is lost then.
    call: Option<P>,
    clock: SharedClock,
    registration: Registration,
    /// Runtime of the call's connection, on which the call is cancelled.
    runtime: runtime::Handle,
}

impl<P: Send + Unpin + 'static> SuspendedCallActor<P> {
    pub(crate) fn new(
        call: Option<P>,
        clock: SharedClock,
        registration: Registration,
        runtime: runtime::Handle,
    ) -> Self {
        Self {
            machine: SuspensionMachine::new(clock.now()),
            call,
            clock,
            registration,
            runtime,
        }
    }

    fn run(
        &mut self,
        output: SuspensionOutput<ReplySender<Option<P>>>,
        cx: &mut ActorContext<Self>,
    ) {
        match output {
            SuspensionOutput::HandOver(reply) if reply.is_abandoned() => self.cancel(),
            SuspensionOutput::HandOver(reply) => reply.send(self.call.take()),
            SuspensionOutput::Deny(reply) => reply.send(None),
            SuspensionOutput::Cancel => self.cancel(),
            SuspensionOutput::Stop => cx.stop(),
        }
    }

    fn cancel(&mut self) {
        let _entered = self.runtime.enter();
        drop(self.call.take());
    }
}

impl<P: Send + Unpin + 'static> Actor for SuspendedCallActor<P> {
    type Message = SuspendedCallMessage<P>;

    const KIND: &'static str = "suspended_call";

    fn started(&mut self, cx: &mut ActorContext<Self>) {
        cx.after(SUSPENSION_LIFETIME, SuspendedCallMessage::Tick);
    }

    fn handle(&mut self, message: SuspendedCallMessage<P>, cx: &mut ActorContext<Self>) {
        let event = match message {
            SuspendedCallMessage::Claim(reply) => SuspensionEvent::Claimed(reply),
            SuspendedCallMessage::End => SuspensionEvent::End,
            SuspendedCallMessage::Tick => {
                let now = self.clock.now();
                // The timer may fire before the clock reaches the end of the lifetime.
                if now < self.machine.until() {
                    cx.after(TICK_INTERVAL, SuspendedCallMessage::Tick);
                    return;
                }
                SuspensionEvent::Tick(now)
            }
        };
        for output in self.machine.on(event) {
            self.run(output, cx);
        }
    }

    fn observe(&self) -> serde_json::Value {
        json!({ "waiting": self.machine.is_waiting() })
    }

    fn stopped(&mut self) {
        self.cancel();
        self.registration.end();
    }
}
