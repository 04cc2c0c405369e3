//! HTTP over one connection for listeners that serve an axum router: admin, push and the private port. The client
//! listener of a proxy serves its requests on its own, with the same activity and limits.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::Extensions;
use http_body::{Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tower::ServiceExt as _;

use super::{
    activity::{ActivityIo, ConnectionActivity},
    drive::{DriveEnd, drive},
    limits::ConnectionLimits,
};
use crate::{drain::Drain, hosts::HostPolicy};

/// Interval of HTTP/2 keep-alive pings.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Timeout of a keep-alive ping.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of HTTP/2 streams that a client may open and reset before the server has accepted them.
const MAX_PENDING_RESETS: usize = 20;
/// Maximum number of HTTP/2 streams that the server resets because of protocol errors of the client.
const MAX_LOCAL_RESETS: usize = 100;

/// Options for serving the connections of a listener with a router.
#[derive(Debug, Clone)]
pub struct RouterOptions {
    /// Name of the listener in log lines.
    pub name: &'static str,
    /// Limits of its connections.
    pub limits: ConnectionLimits,
    /// Maximum number of concurrent requests on one connection.
    pub streams: u32,
    /// Maximum size of the headers of a request, in bytes.
    pub header_bytes: u32,
    /// Hosts that are served. `None` serves every host, where no browser can connect.
    pub hosts: Option<HostPolicy>,
    /// Maximum time a connection may take to end after it was asked to close.
    pub grace: Duration,
}

/// Body that holds a guard until it has been sent or dropped.
#[derive(Debug)]
pub struct GuardedBody<B, G> {
    body: B,
    _guard: G,
}

impl RouterOptions {
    /// Returns the options for a connection that arrived at `local`, if its socket knows.
    #[must_use]
    pub fn at(&self, local: io::Result<SocketAddr>) -> Self {
        let mut options = self.clone();
        if let (Some(hosts), Ok(local)) = (&self.hosts, local) {
            options.hosts = Some(hosts.at(local.ip()));
        }
        options
    }
}

/// Serves one connection until it ends. Every request gets `extensions`. A drain asks the connection to close; without
/// one it continues for as long as the process.
pub async fn serve_router<T>(
    io: T,
    multiplexed: bool,
    router: Router,
    extensions: Extensions,
    options: &RouterOptions,
    drain: Option<&Drain>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = ConnectionActivity::new(multiplexed, &options.limits);
    let io = TokioIo::new(ActivityIo::new(io, Arc::clone(&activity)));
    let active = Arc::clone(&activity);
    let hosts = options.hosts.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let guard = active.begin_request();
        let (router, mut request) = (router.clone(), request.map(Body::new));
        request.extensions_mut().extend(extensions.clone());
        let refused = hosts
            .as_ref()
            .and_then(|hosts| hosts.refusal(request.uri(), request.headers()));
        async move {
            let response = match refused {
                Some(refused) => refused,
                None => answer(router, request).await,
            };
            Ok::<_, Infallible>(response.map(|body| GuardedBody::new(body, guard)))
        }
    });
    let closing = async {
        match drain {
            Some(drain) => drain.draining().await,
            None => pending().await,
        }
    };
    let cut_off = async {
        match drain {
            Some(drain) => {
                drain.draining().await;
                sleep(options.grace).await;
            }
            None => pending().await,
        }
    };
    let limits = &options.limits;
    let end = if multiplexed {
        let connection = Box::pin(http2(options).serve_connection(io, service));
        let close =
            |connection: Pin<&mut http2::Connection<_, _, _>>| connection.graceful_shutdown();
        let driven = drive(
            connection,
            close,
            || false,
            &activity,
            limits,
            closing,
            || false,
        );
        tokio::select! { end = driven => end, () = cut_off => DriveEnd::Ended }
    } else {
        let connection = Box::pin(http1(options).serve_connection(io, service));
        let close = |connection: Pin<&mut http1::Connection<_, _>>| connection.graceful_shutdown();
        let driven = drive(
            connection,
            close,
            || false,
            &activity,
            limits,
            closing,
            || false,
        );
        tokio::select! { end = driven => end, () = cut_off => DriveEnd::Ended }
    };
    if end == DriveEnd::TimedOut {
        tracing::debug!(listener = options.name, "a connection timed out");
    }
}

async fn answer(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn http1(options: &RouterOptions) -> http1::Builder {
    let header_bytes = usize::try_from(options.header_bytes).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_header_size(header_bytes)
        .max_buf_size(header_bytes.saturating_mul(2));
    builder
}

fn http2(options: &RouterOptions) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.streams)
        .max_header_list_size(options.header_bytes)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

impl<B, G> GuardedBody<B, G> {
    /// Attaches `guard` to `body`.
    pub fn new(body: B, guard: G) -> Self {
        Self {
            body,
            _guard: guard,
        }
    }
}

impl<B, G> http_body::Body for GuardedBody<B, G>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    G: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
