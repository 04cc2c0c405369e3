//! Reading side of a stream of server-sent events.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use toolgate_actor::Handle;
use toolgate_data_core::session::StreamId;

use crate::{
    session::{Message, SessionActor},
    subscriptions::Place,
};

/// Capacity of a stream's queue, in pieces; a stream that exceeds it is closed.
pub const STREAM_QUEUE: usize = 16;

/// Stream of encoded server-sent events, until its actor ends it. Dropping it notifies the actor.
pub struct EventStream {
    events: mpsc::Receiver<Bytes>,
    of: Of,
}

/// Owner of a stream.
pub(crate) enum Of {
    /// A stream of a session.
    Session(StreamId, Handle<SessionActor>),
    /// The stream of a subscription, which is removed with it.
    Subscription(Place),
}

impl EventStream {
    pub(crate) fn new(events: mpsc::Receiver<Bytes>, of: Of) -> Self {
        Self { events, of }
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.events.poll_recv(cx)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if let Of::Session(id, session) = &self.of {
            // If the actor's mailbox is full, it notices at the next keep-alive.
            let _busy_or_gone = session.tell(Message::Closed(*id));
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Of::Session(id, _) => write!(f, "EventStream({})", id.0),
            Of::Subscription(place) => write!(f, "EventStream({place:?})"),
        }
    }
}
