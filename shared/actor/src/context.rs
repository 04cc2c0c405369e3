//! What an actor can do beside answering: set timers, have futures awaited, end. A handler only notes its wishes
//! here; they are carried out when it has returned.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::{Actor, handle::Handle, permit::Permit};

/// What a handler is given beside the message.
pub struct Context<A: Actor> {
    handle: Handle<A>,
    work: Option<Arc<Permit>>,
    next_id: u64,
    wishes: Vec<Wish<A>>,
}

/// A timer that has been set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub(crate) u64);

/// What a handler wants done.
pub(crate) enum Wish<A: Actor> {
    After(u64, Duration, A::Message),
    Cancel(u64),
    Perform(
        u64,
        Pin<Box<dyn Future<Output = A::Message>>>,
        Option<Arc<Permit>>,
    ),
    Stop,
}

impl<A: Actor> Context<A> {
    pub(crate) fn new(handle: Handle<A>, work: Option<Arc<Permit>>, next_id: u64) -> Self {
        Self {
            handle,
            work,
            next_id,
            wishes: Vec::new(),
        }
    }

    pub(crate) fn into_wishes(self) -> (Vec<Wish<A>>, u64) {
        (self.wishes, self.next_id)
    }

    /// The actor's own address. Kept in the actor itself, it keeps the actor alive.
    pub fn handle(&self) -> Handle<A> {
        self.handle.clone()
    }

    /// Ends the actor when this handler has returned. Messages still waiting are answered *gone*.
    pub fn stop(&mut self) {
        self.wishes.push(Wish::Stop);
    }

    /// Handles `message` after this long. A panic before that cancels it.
    pub fn after(&mut self, delay: Duration, message: A::Message) -> TimerId {
        let id = self.next();
        self.wishes.push(Wish::After(id, delay, message));
        TimerId(id)
    }

    /// Cancels a timer; harmless if it has fired.
    pub fn cancel(&mut self, timer: TimerId) {
        self.wishes.push(Wish::Cancel(timer.0));
    }

    /// Awaits `future` on the actor's thread, outside of any handler, and handles what it yields. Until then, the
    /// message that led here still counts against [`Actor::CAPACITY`]. A panic of the actor cancels it; a panic in
    /// it is a panic of the actor.
    pub fn perform(&mut self, future: impl Future<Output = A::Message> + 'static) {
        let id = self.next();
        self.wishes
            .push(Wish::Perform(id, Box::pin(future), self.work.clone()));
    }

    fn next(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl<A: Actor> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
