//! Interface between the listener and the request handler behind it.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, pending, ready},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use toolgate_data_core::Refusal;
use toolgate_runtime::connection::{RequestGuard, SeatGuard};

use crate::{
    body::ResponseBody,
    check::check_head,
    listener::ListenerContext,
    long_lived_stream::StreamHandoff,
    request::{ConnectionInfo, IncomingRequest, RequestBody},
    response::{empty_response, refusal_response},
};

/// Handles requests that have passed the listener's checks.
pub trait RequestHandler: Send + Sync + 'static {
    /// Body type of streamed responses.
    type Stream: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Handles one request and returns the response.
    fn serve(
        self: Arc<Self>,
        request: IncomingRequest,
    ) -> impl Future<Output = Response<ResponseBody<Self::Stream>>> + Send;

    /// Completes when a draining process has no more need of new connections: no client is expected to answer what it was
    /// asked.
    fn answered(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// Response body that marks its connection as active until it is dropped.
pub(crate) struct TrackedBody<S> {
    body: ResponseBody<S>,
    _active: RequestGuard,
    _seat: SeatGuard,
}

/// Handles a request from hyper and returns the response to hyper.
///
/// A panic of the handler fails this request alone. A long-lived stream is moved to the handoff if the connection has
/// one.
pub(crate) async fn handle_request<G: RequestHandler>(
    handler: Arc<G>,
    listener: Arc<ListenerContext>,
    connection: Arc<ConnectionInfo>,
    handoff: Option<Arc<StreamHandoff<TrackedBody<G::Stream>>>>,
    request: hyper::Request<Incoming>,
) -> Result<Response<TrackedBody<G::Stream>>, Infallible> {
    let Some(seat) = connection.seat.hold() else {
        // The connection is being closed: nothing is started for it.
        return pending().await;
    };
    let active = connection.activity.begin_request();
    let (head, incoming) = request.into_parts();
    // HTTP/1.0 clients do not understand chunked transfer coding.
    let handoff = handoff.filter(|_| head.version == Version::HTTP_11);
    let cors = listener.origins.grant(&head.headers);
    let mut response = if head.headers.len() > listener.limits.headers {
        empty_response(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if let Err(refusal) = check_head(&head, &connection.hosts, &listener.origins) {
        refused_head(&refusal, head.version)
    } else if let Some(preflight) = cors.preflight(&head) {
        preflight.unwrap_or_else(|refusal| refusal_response(&refusal, None))
    } else {
        let body = RequestBody {
            incoming,
            activity: Arc::clone(&connection.activity),
            listener,
        };
        let request = IncomingRequest {
            head,
            body,
            connection,
        };
        // Boxed, so that its memory is released when the response begins: the connection's future would otherwise keep
        // room for its largest request, even while it only serves a long-lived stream.
        let served = Box::pin(AssertUnwindSafe(handler.serve(request)).catch_unwind());
        let answer = served.await;
        answer.unwrap_or_else(|_panic| {
            tracing::error!("a request panicked; it alone was lost");
            refusal_response(&Refusal::Internal, None)
        })
    };
    cors.apply(&mut response);
    let answer = response.map(|body| TrackedBody {
        body,
        _active: active,
        _seat: seat,
    });
    let is_long_lived = matches!(answer.body().body, ResponseBody::LongLived(_));
    if let Some(handoff) = handoff.filter(|_| is_long_lived) {
        handoff.offer(answer);
        // hyper never gets a response: the connection is taken away from it.
        return pending().await;
    }
    Ok(answer)
}

impl<S> http_body::Body for TrackedBody<S>
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

/// Builds the response to a request with a refused head. The connection ends after an ambiguous head: a proxy in front may
/// delimit the request in another way, so that the bytes behind it are not a request of their own.
fn refused_head<S>(refusal: &Refusal, version: Version) -> Response<ResponseBody<S>> {
    let mut response = refusal_response(refusal, None);
    if matches!(refusal, Refusal::InvalidRequest(_)) && version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
