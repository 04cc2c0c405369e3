//! Reading side of a stream of server-sent events.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

/// Capacity of a stream's queue, in pieces; a stream that exceeds it is closed.
pub const STREAM_QUEUE: usize = 16;

/// Maximum size in bytes of the pieces that wait for one client, on all its streams; a stream that exceeds it is closed. A
/// single piece may be larger.
pub const STREAM_QUEUE_BYTES: usize = 128 * 1024;

/// Size of the pieces that wait for one client. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueuedBytes(Arc<AtomicUsize>);

/// Piece of a stream, counted until it is dropped.
struct CountedPiece {
    bytes: Vec<u8>,
    queued: QueuedBytes,
}

impl QueuedBytes {
    /// Counts a piece. Returns `None` if there is no room for it.
    pub(crate) fn add(&self, bytes: Vec<u8>) -> Option<Bytes> {
        let before = self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        let has_room = before == 0 || before + bytes.len() <= STREAM_QUEUE_BYTES;
        let piece = CountedPiece {
            bytes,
            queued: self.clone(),
        };
        has_room.then(|| Bytes::from_owner(piece))
    }
}

impl AsRef<[u8]> for CountedPiece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for CountedPiece {
    fn drop(&mut self) {
        let len = self.bytes.len();
        self.queued.0.fetch_sub(len, Ordering::Relaxed);
    }
}

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
