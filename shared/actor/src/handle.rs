//! Handles: sending messages to an actor.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use actix::Addr;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    Actor,
    cell::{ActorCell, MailboxItem},
    permit::MailboxPermits,
};

/// Address of an actor. Cheap to clone; usable from any thread and any tokio runtime. The actor ends when the last
/// handle is dropped and no message, timer or future is pending.
pub struct ActorHandle<A: Actor> {
    address: Addr<ActorCell<A>>,
    permits: Arc<MailboxPermits>,
    id: u64,
}

/// Sender of the answer to an ask. Dropping it unused answers with *gone*.
pub struct ReplySender<R>(oneshot::Sender<R>);

/// Error of a rejected message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The actor is at its capacity. An expected answer: shed the work or retry later.
    #[error("busy")]
    Busy,
    /// The actor has ended.
    #[error("gone")]
    Gone,
}

/// Error of an unanswered ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The actor is at its capacity.
    #[error("busy")]
    Busy,
    /// The actor has ended, panicked on this message, or dropped the message.
    #[error("gone")]
    Gone,
    /// The deadline has passed. The actor may still process the message.
    #[error("not answered in time")]
    Timeout,
}

impl<A: Actor> ActorHandle<A> {
    pub(crate) fn new(address: Addr<ActorCell<A>>, permits: Arc<MailboxPermits>, id: u64) -> Self {
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
        let permit = self.permits.acquire(A::CAPACITY).ok_or(SendError::Busy)?;
        self.post(MailboxItem::Message { message, permit });
        Ok(())
    }

    /// Puts a message with a reply sender into the actor's queue and waits for the answer. The message is sent when
    /// this method is called, not when the future is first polled.
    pub fn ask<R, F>(
        &self,
        deadline: Duration,
        message: F,
    ) -> impl Future<Output = Result<R, AskError>> + Send + 'static
    where
        R: Send + 'static,
        F: FnOnce(ReplySender<R>) -> A::Message,
    {
        let (sender, receiver) = oneshot::channel();
        let sent = self.tell(message(ReplySender(sender)));
        async move {
            sent?;
            match timeout(deadline, receiver).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_dropped)) => Err(AskError::Gone),
                Err(_elapsed) => Err(AskError::Timeout),
            }
        }
    }

    /// Asks the actor to end after the messages queued before this call. Never busy.
    pub fn stop(&self) {
        self.post(MailboxItem::Stop);
    }

    /// Returns `true` if the actor has ended.
    pub fn is_gone(&self) -> bool {
        !self.address.connected()
    }

    /// Returns the number of messages queued or being processed.
    pub fn queued(&self) -> usize {
        self.permits.taken()
    }

    /// Returns the actor's id in the system, as in an [`ActorSnapshot`](crate::ActorSnapshot).
    pub fn id(&self) -> u64 {
        self.id
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the bound is our own permit, taken before"
    )]
    fn post(&self, post: MailboxItem<A>) {
        self.address.do_send(post);
    }
}

impl<R> ReplySender<R> {
    /// Sends the answer. No effect if the caller has stopped waiting.
    pub fn send(self, answer: R) {
        let _nobody_waits = self.0.send(answer);
    }

    /// Returns `true` if the caller has stopped waiting, so that the work can be skipped.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

impl<A: Actor> Clone for ActorHandle<A> {
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

impl<A: Actor> fmt::Debug for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", A::KIND, self.id)
    }
}

impl<R> fmt::Debug for ReplySender<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplySender")
    }
}
