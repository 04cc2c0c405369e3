//! Reading side of a stream of server-sent events.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

/// Capacity of a stream's queue, in pieces; a stream that exceeds it is closed.
pub const STREAM_QUEUE: usize = 16;

/// Stream of encoded server-sent events, until its actor ends it. Dropping it drops its owner.
pub struct SessionEventStream {
    owner: Box<dyn StreamOwner>,
    events: mpsc::Receiver<Bytes>,
}

/// Session or subscription to which a stream belongs. Its drop reports the end of the stream.
pub(crate) trait StreamOwner: fmt::Debug + Send + Sync {}

impl SessionEventStream {
    pub(crate) fn new(events: mpsc::Receiver<Bytes>, owner: impl StreamOwner + 'static) -> Self {
        let owner = Box::new(owner);
        Self { owner, events }
    }
}

impl Stream for SessionEventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.events.poll_recv(cx)
    }
}

impl fmt::Debug for SessionEventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionEventStream({:?})", self.owner)
    }
}
