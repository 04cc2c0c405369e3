//! Listeners: accept, TLS handshake, HTTP with timeouts and limits, graceful shutdown. The admin and the fleet listener
//! share this accept loop.

use std::{sync::Arc, time::Duration};

use axum::Router;
use axum::http::Extensions;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use toolgate_runtime::{
    Drain,
    budget::BudgetOwner,
    connection::{
        self, ConnectionLimiter, ConnectionLimits, ConnectionPermit, RouterOptions, is_http2,
        serve_router,
    },
    hosts::HostPolicy,
};

use crate::caller::ConnectionPeer;

/// Maximum number of connections of one listener.
const MAX_CONNECTIONS: usize = 4096;
/// Maximum number of connections of one address, or of one proxy.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1024;
/// Maximum number of concurrent requests on one connection.
const MAX_STREAMS: u32 = 128;
/// Maximum size of the headers of a request, in bytes.
const MAX_HEADERS: u32 = 16 * 1024;
/// Timeout of a TLS handshake, and of the head of a request; also from connecting to the first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a connection without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Age at which a connection without a client certificate is closed where one is expected. Long enough for a join.
const UNIDENTIFIED_AGE: Duration = Duration::from_secs(60);

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
    /// Number of connections that only proxies with a certificate can use.
    pub(crate) reserved_connections: usize,
    /// Maximum time a connection may take to end when the process drains.
    pub(crate) grace: Duration,
    /// Hosts that are served. `None` serves every host, where no browser can connect.
    pub(crate) hosts: Option<HostPolicy>,
}

impl ServeOptions {
    fn router_options(&self) -> RouterOptions {
        RouterOptions {
            name: self.name,
            limits: ConnectionLimits {
                connections: MAX_CONNECTIONS,
                connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
                reserved_connections: self.reserved_connections,
                handshake_timeout: HEAD_TIMEOUT,
                head_timeout: HEAD_TIMEOUT,
                idle_timeout: IDLE_TIMEOUT,
                ..ConnectionLimits::default()
            },
            streams: MAX_STREAMS,
            header_bytes: MAX_HEADERS,
            grace: self.grace,
            hosts: self.hosts.clone(),
        }
    }
}

/// Accepts connections until the drain starts. `peer` identifies the client by its leaf certificate, which is `None`
/// without TLS.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    peer: impl Fn(Option<&[u8]>) -> ConnectionPeer + Clone + Send + Sync + 'static,
    serve: ServeOptions,
) {
    let options = Arc::new(serve.router_options());
    let limiter = ConnectionLimiter::new(&options.limits);
    let start = |stream, _address, permit| -> Option<AbortHandle> {
        let accepted = AcceptedConnection {
            permit,
            tls: tls.clone(),
            options: Arc::clone(&options),
            serve: serve.clone(),
        };
        let task = serve
            .drain
            .spawn(serve.name, accepted.serve(stream, peer.clone()));
        Some(task.abort_handle())
    };
    tokio::select! {
        () = serve.drain.draining() => {}
        () = connection::accept(&listener, serve.name, &limiter, start) => {}
    }
}

/// Accepted connection, before its handshake.
struct AcceptedConnection {
    permit: ConnectionPermit,
    tls: Option<Arc<ServerConfig>>,
    options: Arc<RouterOptions>,
    serve: ServeOptions,
}

impl AcceptedConnection {
    async fn serve(mut self, stream: TcpStream, peer: impl Fn(Option<&[u8]>) -> ConnectionPeer) {
        if self.options.hosts.is_some() {
            self.options = Arc::new(self.options.at(stream.local_addr()));
        }
        let limits = &self.options.limits;
        let Some(tls) = &self.tls else {
            let known = peer(None);
            if !self.serve.http1 {
                return self.serve_http(stream, true, known).await;
            }
            if let Ok(Ok(multiplexed)) = timeout(limits.head_timeout, is_http2(&stream)).await {
                self.serve_http(stream, multiplexed, known).await;
            }
            return;
        };
        let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
        let stream = match timeout(limits.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, listener = self.serve.name, "TLS handshake failed");
                return;
            }
            Err(_elapsed) => {
                tracing::debug!(listener = self.serve.name, "TLS handshake took too long");
                return;
            }
        };
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let known = peer(certificate.map(AsRef::as_ref));
        let multiplexed = !self.serve.http1 || session.alpn_protocol() == Some(b"h2");
        let serving = self.serve_http(stream, multiplexed, known.clone());
        match known {
            ConnectionPeer::Proxy(id) => {
                if self.permit.identify(BudgetOwner::of(&id)) {
                    serving.await;
                } else {
                    tracing::warn!(proxy = %id, "the proxy has too many connections");
                }
            }
            ConnectionPeer::Unknown if self.serve.reserved_connections > 0 => {
                let _aged = timeout(UNIDENTIFIED_AGE, serving).await;
            }
            ConnectionPeer::Unknown | ConnectionPeer::Trusted => serving.await,
        }
    }

    async fn serve_http<S>(&self, stream: S, multiplexed: bool, peer: ConnectionPeer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut extensions = Extensions::new();
        extensions.insert(peer);
        extensions.insert(Arc::clone(self.permit.seat()));
        let (router, drain) = (self.serve.router.clone(), &self.serve.drain);
        let options = &self.options;
        serve_router(
            stream,
            multiplexed,
            router,
            extensions,
            options,
            Some(drain),
        )
        .await;
    }
}

/// Serves an in-memory connection, HTTP/2 without TLS, until it ends.
pub(crate) async fn connection<S>(stream: S, peer: ConnectionPeer, serve: ServeOptions)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut extensions = Extensions::new();
    extensions.insert(peer);
    let (router, options) = (serve.router.clone(), serve.router_options());
    let drain = Some(&serve.drain);
    serve_router(stream, true, router, extensions, &options, drain).await;
}

#[cfg(test)]
mod tests;
