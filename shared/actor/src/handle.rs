//! How others reach an actor.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use actix::Addr;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    Actor,
    cell::{Cell, Post},
    permit::Permits,
};

/// A private address. Cheap to clone; usable from any thread and any tokio runtime. When the last one is dropped
/// and nothing is under way, the actor ends.
pub struct Handle<A: Actor> {
    address: Addr<Cell<A>>,
    permits: Arc<Permits>,
    id: u64,
}

/// Where to put the answer to an ask. Dropping it unused answers *gone*.
pub struct Reply<R>(oneshot::Sender<R>);

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Its capacity is used up. An ordinary answer: shed, or try later.
    #[error("busy")]
    Busy,
    /// It has ended.
    #[error("gone")]
    Gone,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Its capacity is used up.
    #[error("busy")]
    Busy,
    /// It has ended, or panicked over this message, or dropped it.
    #[error("gone")]
    Gone,
    /// The deadline has passed. The message may still be worked on.
    #[error("not answered in time")]
    Timeout,
}

impl<A: Actor> Handle<A> {
    pub(crate) fn new(address: Addr<Cell<A>>, permits: Arc<Permits>, id: u64) -> Self {
        Self {
            address,
            permits,
            id,
        }
    }

    /// Puts a message into the actor's queue.
    pub fn tell(&self, message: A::Message) -> Result<(), SendError> {
        if !self.address.connected() {
            return Err(SendError::Gone);
        }
        let permit = self.permits.take(A::CAPACITY).ok_or(SendError::Busy)?;
        self.post(Post::Message { message, permit });
        Ok(())
    }

    /// Puts a message into the actor's queue, with a place for the answer, and waits for that. The message is sent
    /// when this is called, not when the future is first polled.
    pub fn ask<R, F>(
        &self,
        deadline: Duration,
        message: F,
    ) -> impl Future<Output = Result<R, AskError>> + Send + 'static
    where
        R: Send + 'static,
        F: FnOnce(Reply<R>) -> A::Message,
    {
        let (sender, receiver) = oneshot::channel();
        let sent = self.tell(message(Reply(sender)));
        async move {
            sent?;
            match timeout(deadline, receiver).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_dropped)) => Err(AskError::Gone),
                Err(_elapsed) => Err(AskError::Timeout),
            }
        }
    }

    /// Asks it to end after what is before this in its queue. Never busy.
    pub fn stop(&self) {
        self.post(Post::Stop);
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        !self.address.connected()
    }

    /// Messages waiting or in work.
    pub fn queued(&self) -> usize {
        self.permits.taken()
    }

    /// Its number in the system, as in a [`Picture`](crate::Picture).
    pub fn id(&self) -> u64 {
        self.id
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the bound is our own permit, taken before"
    )]
    fn post(&self, post: Post<A>) {
        self.address.do_send(post);
    }
}

impl<R> Reply<R> {
    /// Answers. Harmless if nobody waits any more.
    pub fn send(self, answer: R) {
        let _nobody_waits = self.0.send(answer);
    }

    /// Whether nobody waits any more, so that the work can be spared.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        let permits = Arc::clone(&self.permits);
        Self {
            address: self.address.clone(),
            permits,
            id: self.id,
        }
    }
}

impl From<SendError> for AskError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Busy => Self::Busy,
            SendError::Gone => Self::Gone,
        }
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", A::KIND, self.id)
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
