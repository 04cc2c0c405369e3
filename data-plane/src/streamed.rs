//! Bodies that are still being made when their head goes out.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream as _;
use http_body::Frame;
use toolgate_session::EventStream;
use toolgate_upstream::CallStream;

/// Server-sent events.
pub enum Streamed {
    /// Of one call.
    Call(CallStream),
    /// What the server has to say in a legacy session.
    Session(Box<SessionStream>),
}

/// The stream of a session, which ends when this proxy drains (its client opens another one elsewhere) and when the
/// token that opened it is no longer good.
pub struct SessionStream {
    events: EventStream,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl SessionStream {
    /// `events` until the `end`.
    pub fn new(events: EventStream, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            events,
            end: Box::pin(end),
        }
    }
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Call(stream) => Pin::new(stream).poll_frame(cx),
            Self::Session(session) => {
                let event = Pin::new(&mut session.events).poll_next(cx);
                if event.is_pending() && session.end.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                event.map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }
}
