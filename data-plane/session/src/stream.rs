//! What a GET stream is read from.

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

use crate::session::{Message, SessionActor};

/// Events that may lie between the session and a slow client; with one more the stream is closed.
pub const STREAM_QUEUE: usize = 16;

/// Server-sent events, ready to be written, until the session ends the stream. Dropping it tells the session.
pub struct EventStream {
    id: StreamId,
    events: mpsc::Receiver<Bytes>,
    session: Handle<SessionActor>,
}

impl EventStream {
    pub(crate) fn new(
        id: StreamId,
        events: mpsc::Receiver<Bytes>,
        session: Handle<SessionActor>,
    ) -> Self {
        Self {
            id,
            events,
            session,
        }
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
        // A session too busy to hear it finds out at its next keep-alive.
        let _busy_or_gone = self.session.tell(Message::Closed(self.id));
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventStream({})", self.id.0)
    }
}
