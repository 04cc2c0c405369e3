//! What a stream of server-sent events is read from, once its actor and its client have found each other.

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

/// Pieces that may lie between an actor and a slow client; with one more the stream is closed.
pub const STREAM_QUEUE: usize = 16;

/// Server-sent events, ready to be written, until their actor ends the stream. Dropping it tells the actor.
pub struct EventStream {
    events: mpsc::Receiver<Bytes>,
    of: Of,
}

/// Whose stream it is.
pub(crate) enum Of {
    /// One of a session.
    Session(StreamId, Handle<SessionActor>),
    /// That of a subscription, which is forgotten with it.
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
            // A session too busy to hear it finds out at its next keep-alive.
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
