//! What stands behind the door.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, pending},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use toolgate_data_core::Refusal;

use crate::{
    accept::Shared,
    body::Body,
    check::check,
    refuse::{empty, refuse},
    request::{Request, RequestBody, Visitor},
    standing::Handover,
    watch::Active,
};

/// Answers requests that have passed the door.
pub trait Gate: Send + Sync + 'static {
    /// What its streamed answers are made of.
    type Stream: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Answers one request.
    fn serve(
        self: Arc<Self>,
        request: Request,
    ) -> impl Future<Output = Response<Body<Self::Stream>>> + Send;
}

/// A body that marks its connection as busy until it is gone.
pub(crate) struct Counted<S> {
    body: Body<S>,
    _active: Active,
}

/// From hyper's request to hyper's response. A panic behind the gate costs one request. An answer that stands is handed
/// over where the connection can be had for it.
pub(crate) async fn pass<G: Gate>(
    gate: Arc<G>,
    shared: Arc<Shared>,
    visitor: Arc<Visitor>,
    handover: Option<Arc<Handover<Counted<G::Stream>>>>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Counted<G::Stream>>, Infallible> {
    let active = visitor.watch.begin();
    let (head, incoming) = request.into_parts();
    // Older clients do not know chunks.
    let handover = handover.filter(|_| head.version == Version::HTTP_11);
    let response = if head.headers.len() > shared.limits.headers {
        empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if let Err(refusal) = check(&head, &shared.hosts) {
        refuse(&refusal, None)
    } else {
        let body = RequestBody {
            incoming,
            watch: Arc::clone(&visitor.watch),
            shared,
        };
        let request = Request {
            head,
            body,
            visitor,
        };
        // Boxed, so that it is gone when the answer begins: a connection keeps room for its largest request, and one
        // that only listens would keep it for nothing.
        let served = Box::pin(AssertUnwindSafe(gate.serve(request)).catch_unwind());
        let answer = served.await;
        answer.unwrap_or_else(|_panic| {
            tracing::error!("a request panicked; it alone was lost");
            refuse(&Refusal::Internal, None)
        })
    };
    let answer = response.map(|body| Counted {
        body,
        _active: active,
    });
    let stands = matches!(answer.body().body, Body::Standing(_));
    if let Some(handover) = handover.filter(|_| stands) {
        handover.offer(answer);
        // hyper is never answered: the connection is taken from it.
        return pending().await;
    }
    Ok(answer)
}

impl<S> http_body::Body for Counted<S>
where
    S: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = S::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, S::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
