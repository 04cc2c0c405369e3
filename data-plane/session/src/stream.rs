//! Reading side of a stream of server-sent events.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use toolgate_actor::ActorHandle;
use toolgate_data_core::session::StreamId;

use crate::{
    client_session::{SessionActor, SessionMessage},
    subscription::SubscriptionGuard,
};

/// Capacity of a stream's queue, in pieces; a stream that exceeds it is closed.
pub const STREAM_QUEUE: usize = 16;

/// Stream of encoded server-sent events, until its actor ends it. Dropping it notifies the actor.
pub struct SessionEventStream {
    events: mpsc::Receiver<Bytes>,
    owner: StreamOwner,
}

/// Owner of a stream.
pub(crate) enum StreamOwner {
    /// A stream of a session.
    Session(StreamId, ActorHandle<SessionActor>),
    /// The stream of a subscription, which is removed with it.
    Subscription(SubscriptionGuard),
}

impl SessionEventStream {
    pub(crate) fn new(events: mpsc::Receiver<Bytes>, owner: StreamOwner) -> Self {
        Self { events, owner }
    }
}

impl Stream for SessionEventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.events.poll_recv(cx)
    }
}

impl Drop for SessionEventStream {
    fn drop(&mut self) {
        if let StreamOwner::Session(id, session) = &self.owner {
            // If the actor's mailbox is full, it notices at the next keep-alive.
            let _busy_or_gone = session.tell(SessionMessage::Closed(*id));
        }
    }
}

impl fmt::Debug for SessionEventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            StreamOwner::Session(id, _) => write!(f, "SessionEventStream({})", id.0),
            StreamOwner::Subscription(place) => write!(f, "SessionEventStream({place:?})"),
        }
    }
}
