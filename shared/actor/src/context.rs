//! Effects of an actor: timers, awaited futures, stop. A handler only records effects here; the cell applies them after
//! the handler has returned.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::{Actor, handle::ActorHandle, permit::MailboxPermit};

/// Context of one handler call.
pub struct ActorContext<A: Actor> {
    handle: ActorHandle<A>,
    permit: Option<Arc<MailboxPermit>>,
    next_id: u64,
    effects: Vec<ActorEffect<A>>,
}

/// Identifier of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub(crate) u64);

/// Effect requested by a handler.
pub(crate) enum ActorEffect<A: Actor> {
    After(u64, Duration, A::Message),
    Cancel(u64),
    Perform(
        u64,
        Pin<Box<dyn Future<Output = A::Message>>>,
        Option<Arc<MailboxPermit>>,
    ),
    Stop,
}

impl<A: Actor> ActorContext<A> {
    pub(crate) fn new(
        handle: ActorHandle<A>,
        permit: Option<Arc<MailboxPermit>>,
        next_id: u64,
    ) -> Self {
        Self {
            handle,
            permit,
            next_id,
            effects: Vec::new(),
        }
    }

    pub(crate) fn into_effects(self) -> (Vec<ActorEffect<A>>, u64) {
        (self.effects, self.next_id)
    }

    /// Returns the actor's own handle. A handle stored in the actor itself keeps the actor alive.
    pub fn handle(&self) -> ActorHandle<A> {
        self.handle.clone()
    }

    /// Stops the actor after this handler has returned. Messages still queued are answered with *gone*.
    pub fn stop(&mut self) {
        self.effects.push(ActorEffect::Stop);
    }

    /// Delivers `message` to the actor after `delay`. A panic of the actor cancels the timer.
    pub fn after(&mut self, delay: Duration, message: A::Message) -> TimerId {
        let id = self.next();
        self.effects.push(ActorEffect::After(id, delay, message));
        TimerId(id)
    }

    /// Cancels a timer. No effect if the timer has already fired.
    pub fn cancel(&mut self, timer: TimerId) {
        self.effects.push(ActorEffect::Cancel(timer.0));
    }

    /// Awaits `future` on the actor's thread, outside of any handler, and delivers its output as a message. Until then
    /// the current message still counts against [`Actor::CAPACITY`]. A panic of the actor cancels the future; a panic
    /// in the future counts as a panic of the actor.
    pub fn perform(&mut self, future: impl Future<Output = A::Message> + 'static) {
        let id = self.next();
        self.effects.push(ActorEffect::Perform(
            id,
            Box::pin(future),
            self.permit.clone(),
        ));
    }

    fn next(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl<A: Actor> fmt::Debug for ActorContext<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorContext")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
