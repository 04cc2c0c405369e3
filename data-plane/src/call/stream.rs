//! The response stream of a call: server-sent events, written no faster than the client reads.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Maximum number of events that wait for a slow client. Further ones wait at the server.
const QUEUE: usize = 2;

/// Body of a streamed answer.
#[derive(Debug)]
pub struct CallStream {
    events: Receiver<Bytes>,
}

impl CallStream {
    /// Creates a body and its writing side.
    pub(super) fn channel() -> (Sender<Bytes>, Self) {
        let (sender, events) = mpsc::channel(QUEUE);
        (sender, Self { events })
    }
}

impl http_body::Body for CallStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = self.events.poll_recv(cx);
        event.map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests;
