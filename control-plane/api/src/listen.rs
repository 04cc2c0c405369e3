//! Listeners: accept, TLS handshake, HTTP with timeouts and limits, graceful shutdown. The admin and the fleet listener
//! share this accept loop.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use toolgate_runtime::Drain;
use tower::ServiceExt as _;

use crate::caller::ConnectionPeer;

/// Maximum number of connections of one listener.
const MAX_CONNECTIONS: usize = 2048;
/// Maximum number of concurrent requests on one connection.
const MAX_STREAMS: u32 = 128;
/// Maximum size of the headers of a request, in bytes.
const MAX_HEADERS: u32 = 16 * 1024;
/// Timeout of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for the headers of a request (HTTP/1), and for the first request of any connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Interval of HTTP/2 keep-alive pings.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Timeout of a keep-alive ping.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay after a failed accept, which usually means that a resource is exhausted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Options for serving the connections of a listener.
#[derive(Clone)]
pub(crate) struct ServeOptions {
    /// Router that answers requests.
    pub(crate) router: Router,
    /// Enables HTTP/1 in addition to HTTP/2, for browsers.
    pub(crate) http1: bool,
    /// Held until the last connection has ended.
    pub(crate) drain: Drain,
    /// Task name of a connection.
    pub(crate) name: &'static str,
    /// Maximum time a connection may take to end when the process drains.
    pub(crate) grace: Duration,
}

/// Accepts connections until the drain starts. `peer` identifies the client by its leaf certificate, which is `None`
/// without TLS.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    peer: impl Fn(Option<&[u8]>) -> ConnectionPeer + Clone + Send + Sync + 'static,
    serve: ServeOptions,
) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let draining = serve.drain.draining();
    tokio::pin!(draining);
    loop {
        // Connections above the limit wait in the kernel's backlog, which is bounded as well.
        let permit = tokio::select! {
            () = &mut draining => return Ok(()),
            permit = Arc::clone(&permits).acquire_owned() => permit.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = &mut draining => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _address)) => stream,
            Err(error) => {
                tracing::warn!(%error, listener = serve.name, "accept failed");
                sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let (tls, peer, serving) = (tls.clone(), peer.clone(), serve.clone());
        serve.drain.spawn(serve.name, async move {
            let _permit = permit;
            handshake(stream, tls, peer, serving).await;
        });
    }
}

async fn handshake(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    peer: impl Fn(Option<&[u8]>) -> ConnectionPeer,
    serve: ServeOptions,
) {
    let _best_effort = stream.set_nodelay(true);
    let Some(tls) = tls else {
        let known = peer(None);
        return connection(stream, known, serve).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let known = peer(
                certificates
                    .and_then(|chain| chain.first())
                    .map(AsRef::as_ref),
            );
            connection(stream, known, serve).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, listener = serve.name, "TLS handshake failed"),
        Err(_elapsed) => tracing::debug!(listener = serve.name, "TLS handshake took too long"),
    }
}

/// Serves one connection until it ends.
pub(crate) async fn connection<S>(stream: S, peer: ConnectionPeer, serve: ServeOptions)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = serve.router.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request)
    });
    let builder = builder(serve.http1);
    let service = TowerToHyperService::new(service);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    // Before the first request, no other timeout limits an idle connection.
    let silent = async {
        sleep(HEADER_TIMEOUT).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = silent => {
            tracing::debug!(listener = serve.name, "a connection sent no request");
            return;
        }
        () = serve.drain.draining() => {
            served.as_mut().graceful_shutdown();
            within(serve.grace, served).await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, listener = serve.name, "a connection ended early");
    }
}

async fn within<F, E>(grace: Duration, served: F) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    timeout(grace, served).await.unwrap_or(Ok(()))
}

fn builder(http1: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADERS as usize);
    if http1 { builder } else { builder.http2_only() }
}

#[cfg(test)]
mod tests;
