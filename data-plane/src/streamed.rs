//! Response bodies that are produced after their head was sent.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream as _;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use toolgate_mcp::sse;
use toolgate_session::SessionEventStream;

use crate::{call::CallStream, request_limiter::RequestPermit};

/// Future that completes when a stream has to end.
pub(crate) type StreamEnd = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Server-sent events.
pub enum StreamBody {
    /// Stream of one call.
    Call(CallStream),
    /// Long-lived stream of a legacy session or of a modern subscription.
    LongLived(Box<LongLivedBody>),
    /// Response of another proxy, forwarded as it arrives.
    Forwarded(Box<ForwardedStream>),
}

/// Response of another proxy, which holds the permit of its request until its end.
pub struct ForwardedStream {
    body: Incoming,
    /// Present on a stream that only listens.
    end: Option<StreamEnd>,
    _permit: RequestPermit,
}

impl ForwardedStream {
    pub(crate) fn new(body: Incoming, end: Option<StreamEnd>, permit: RequestPermit) -> Self {
        Self {
            body,
            end,
            _permit: permit,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let end = self.end.as_mut().filter(|_| frame.is_pending());
        if end.is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(None);
        }
        frame
    }
}

/// Long-lived stream, which ends when this proxy drains or the token that opened it is revoked.
pub struct LongLivedBody {
    events: SessionEventStream,
    end: Option<StreamEnd>,
    final_message: Option<Bytes>,
}

impl LongLivedBody {
    /// Creates a stream of `events` until `end`, which closes it with the message `final_message`.
    pub fn new(
        events: SessionEventStream,
        end: impl Future<Output = ()> + Send + 'static,
        final_message: Option<Bytes>,
    ) -> Self {
        Self {
            events,
            end: Some(Box::pin(end)),
            final_message,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(end) = &mut self.end else {
            return Poll::Ready(None);
        };
        // First, so that a stream that always has an event ends as well.
        if end.as_mut().poll(cx).is_ready() {
            self.end = None;
            let last = self.final_message.take();
            return Poll::Ready(last.map(|message| sse::event(&message)));
        }
        Pin::new(&mut self.events).poll_next(cx)
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Call(stream) => {
                let frame = Pin::new(stream).poll_frame(cx);
                frame.map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Forwarded(stream) => stream.poll(cx),
            Self::LongLived(stream) => {
                let event = stream.poll(cx);
                event.map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }
}
