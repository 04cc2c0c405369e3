//! Connections to the other proxies of the fleet.
//!
//! The state of a session is held by the proxy that created it. A request of the session that arrives at another proxy
//! is forwarded to the owning proxy, so a load balancer needs no affinity. If the owning proxy cannot be reached, the
//! session is rebuilt from its id.
//!
//! Peers authenticate each other by certificates of the fleet only; the owning proxy authenticates the caller again.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{Mutex, watch::Receiver},
    time::timeout,
};
use toolgate_data_core::OwningProxy;
use toolgate_egress::{ClientTls, control_channel};
use toolgate_model::Slug;
use toolgate_runtime::{
    Drain, SharedClock,
    tls::{self, peer_server_name},
};
use toolgate_sync::FleetMembership;

/// Maximum number of peers with a connection.
const MAX_PEER_CONNECTIONS: usize = 1_024;

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Delay before a peer that could not be reached is tried again.
const RECONNECT_DELAY: Duration = Duration::from_secs(2);

/// Interval between keep-alive pings, and timeout of their acknowledgement.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// Request headers that are forwarded, in addition to those with the prefix `mcp-` or `trace`.
const FORWARDED_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::ACCEPT,
    header::CONTENT_TYPE,
    HeaderName::from_static("last-event-id"),
];

/// Response headers that are returned, in addition to those with the prefix `mcp-` or `trace`.
const RETURNED_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    header::ALLOW,
    HeaderName::from_static("x-accel-buffering"),
];

/// Connections to peers, created on demand.
pub(crate) struct Peers {
    proxy: Slug,
    address: OnceLock<Box<str>>,
    membership: Receiver<Option<FleetMembership>>,
    connections: RwLock<BTreeMap<OwningProxy, Arc<PeerConnection>>>,
    drain: Drain,
    clock: SharedClock,
}

/// Request to be forwarded.
pub(crate) struct ForwardedRequest {
    pub(crate) method: Method,
    pub(crate) path: Box<str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Error of a request that got no response from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForwardError {
    /// Nothing was sent: the caller can handle the request without the peer.
    NotSent,
    /// The request was sent and may have been executed.
    ConnectionLost,
}

/// Connection to one peer.
struct PeerConnection {
    home: OwningProxy,
    state: Mutex<ConnectionState>,
}

#[derive(Default)]
struct ConnectionState {
    sender: Option<SendRequest<Full<Bytes>>>,
    not_before: Option<Instant>,
}

/// Executor for the tasks that hyper spawns for a connection.
#[derive(Clone)]
struct DrainExecutor(Drain);

impl Peers {
    /// Creates the set of peers, without connections.
    pub(crate) fn new(
        proxy: Slug,
        membership: Receiver<Option<FleetMembership>>,
        drain: Drain,
        clock: SharedClock,
    ) -> Self {
        Self {
            proxy,
            address: OnceLock::new(),
            membership,
            connections: RwLock::default(),
            drain,
            clock,
        }
    }

    /// Sets the address at which peers reach this proxy.
    pub(crate) fn set_address(&self, at: &str) {
        // Set once, at the start.
        let _again = self.address.set(at.into());
    }

    /// Returns the owner record of state that is held on this proxy.
    pub(crate) fn this_proxy(&self) -> OwningProxy {
        OwningProxy::new(self.proxy.clone(), self.address.get().map(|at| &**at))
    }

    /// Returns `true` if `home` is another proxy to which requests can be forwarded.
    pub(crate) fn is_forwardable(&self, home: &OwningProxy) -> bool {
        home.proxy != self.proxy && home.address.is_some() && self.membership.borrow().is_some()
    }

    /// Forwards a request to the owning proxy.
    pub(crate) async fn forward(
        &self,
        home: &OwningProxy,
        parcel: ForwardedRequest,
    ) -> Result<Response<Incoming>, ForwardError> {
        let line = self.connection(home).ok_or(ForwardError::NotSent)?;
        let mut sender = line.sender(self).await.ok_or(ForwardError::NotSent)?;
        let request = parcel.into_request().ok_or(ForwardError::NotSent)?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok(filter_response(response)),
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                tracing::debug!(proxy = %home.proxy, error = %error.error(), unsent, "a neighbour was lost");
                Err(if unsent {
                    ForwardError::NotSent
                } else {
                    ForwardError::ConnectionLost
                })
            }
        }
    }

    fn connection(&self, home: &OwningProxy) -> Option<Arc<PeerConnection>> {
        let lines = self
            .connections
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(home) {
            return Some(Arc::clone(line));
        }
        drop(lines);
        let mut lines = self
            .connections
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MAX_PEER_CONNECTIONS {
            // Drops unused connections; a peer that is needed again is connected again.
            lines.retain(|_home, line| Arc::strong_count(line) > 1);
        }
        if lines.len() >= MAX_PEER_CONNECTIONS {
            return None;
        }
        let line = lines.entry(home.clone()).or_insert_with(|| {
            Arc::new(PeerConnection {
                home: home.clone(),
                state: Mutex::default(),
            })
        });
        Some(Arc::clone(line))
    }

    async fn connect(&self, home: &OwningProxy) -> Option<SendRequest<Full<Bytes>>> {
        let membership = self.membership.borrow().clone()?;
        let trusted = [membership.authority];
        let config = tls::client(&trusted, Some(&membership.identity), tls::ALPN_H2).ok()?;
        let server_name = peer_server_name(home.proxy.as_str()).try_into().ok()?;
        let tls = ClientTls {
            config,
            server_name,
        };
        let connector = control_channel(home.address.as_deref()?, Some(tls));
        let stream = connector.open().await.ok()?;
        let mut builder = Builder::new(DrainExecutor(self.drain.clone()));
        builder
            .timer(TokioTimer::new())
            .initial_connection_window_size(8 * 1024 * 1024)
            .initial_stream_window_size(1024 * 1024)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_INTERVAL)
            .keep_alive_while_idle(true);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
        drop(self.drain.spawn_unguarded(async move {
            // The next user of the connection notices its end.
            let _ended = connection.await;
        }));
        Some(sender)
    }
}

impl PeerConnection {
    /// Returns an open connection, or opens one. One task at a time connects.
    async fn sender(&self, neighbours: &Peers) -> Option<SendRequest<Full<Bytes>>> {
        let mut state = self.state.lock().await;
        if let Some(sender) = state.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(sender.clone());
        }
        state.sender = None;
        let now = neighbours.clock.monotonic();
        if state.not_before.is_some_and(|then| now < then) {
            return None;
        }
        let made = timeout(CONNECT_TIMEOUT, neighbours.connect(&self.home)).await;
        let made = made.ok().flatten();
        state.sender.clone_from(&made);
        if made.is_none() {
            tracing::info!(proxy = %self.home.proxy, "a neighbour cannot be reached; its sessions are served here");
            state.not_before = Some(neighbours.clock.monotonic() + RECONNECT_DELAY);
        }
        made
    }
}

impl ForwardedRequest {
    /// Builds the request from the headers that the peer needs.
    pub(crate) fn new(method: Method, path: &str, headers: &HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            path: path.into(),
            headers: filter_headers(headers, &FORWARDED_HEADERS),
            body,
        }
    }

    fn into_request(self) -> Option<Request<Full<Bytes>>> {
        // Every listener accepts this host name; the destination is determined by address and certificate.
        let request = Request::builder()
            .method(self.method)
            .uri(format!("https://localhost{}", self.path));
        let mut request = request.body(Full::new(self.body)).ok()?;
        *request.headers_mut() = self.headers;
        Some(request)
    }
}

fn filter_headers(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let wanted = |name: &HeaderName| {
        let name_text = name.as_str();
        names.contains(name) || name_text.starts_with("mcp-") || name_text.starts_with("trace")
    };
    let mut out = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| wanted(name)) {
        out.append(name, value.clone());
    }
    out
}

fn filter_response(mut response: Response<Incoming>) -> Response<Incoming> {
    let headers = filter_headers(response.headers(), &RETURNED_HEADERS);
    *response.headers_mut() = headers;
    response
}

impl<F> Executor<F> for DrainExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn_unguarded(future));
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Neighbours(of {})", self.proxy)
    }
}
