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
use toolgate_data_core::Home;
use toolgate_egress::{ClientTls, control_channel};
use toolgate_model::Slug;
use toolgate_runtime::{
    Drain, SharedClock,
    tls::{self, neighbour_name},
};
use toolgate_sync::Membership;

/// Maximum number of peers with a connection.
const LINES: usize = 1_024;

/// Timeout of connecting.
const CONNECT: Duration = Duration::from_secs(1);

/// Delay before a peer that could not be reached is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Interval between keep-alive pings, and timeout of their acknowledgement.
const ALIVE: Duration = Duration::from_secs(3);

/// Request headers that are forwarded, in addition to those with the prefix `mcp-` or `trace`.
const TAKEN: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::ACCEPT,
    header::CONTENT_TYPE,
    HeaderName::from_static("last-event-id"),
];

/// Response headers that are returned, in addition to those with the prefix `mcp-` or `trace`.
const RETURNED: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    header::ALLOW,
    HeaderName::from_static("x-accel-buffering"),
];

/// Connections to peers, created on demand.
pub(crate) struct Neighbours {
    proxy: Slug,
    at: OnceLock<Box<str>>,
    membership: Receiver<Option<Membership>>,
    lines: RwLock<BTreeMap<Home, Arc<Line>>>,
    drain: Drain,
    clock: SharedClock,
}

/// Request to be forwarded.
pub(crate) struct Parcel {
    pub(crate) method: Method,
    pub(crate) path: Box<str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Error of a request that got no response from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing was sent: the caller can handle the request without the peer.
    NotSent,
    /// The request was sent and may have been executed.
    Broken,
}

/// Connection to one peer.
struct Line {
    home: Home,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sender: Option<SendRequest<Full<Bytes>>>,
    not_before: Option<Instant>,
}

/// Executor for the tasks that hyper spawns for a connection.
#[derive(Clone)]
struct Beside(Drain);

impl Neighbours {
    /// Creates the set of peers, without connections.
    pub(crate) fn new(
        proxy: Slug,
        membership: Receiver<Option<Membership>>,
        drain: Drain,
        clock: SharedClock,
    ) -> Self {
        Self {
            proxy,
            at: OnceLock::new(),
            membership,
            lines: RwLock::default(),
            drain,
            clock,
        }
    }

    /// Sets the address at which peers reach this proxy.
    pub(crate) fn reachable(&self, at: &str) {
        // Set once, at the start.
        let _again = self.at.set(at.into());
    }

    /// Returns the owner record of state that is held on this proxy.
    pub(crate) fn here(&self) -> Home {
        Home::new(self.proxy.clone(), self.at.get().map(|at| &**at))
    }

    /// Returns `true` if `home` is another proxy to which requests can be forwarded.
    pub(crate) fn is_elsewhere(&self, home: &Home) -> bool {
        home.proxy != self.proxy && home.at.is_some() && self.membership.borrow().is_some()
    }

    /// Forwards a request to the owning proxy.
    pub(crate) async fn pass_on(
        &self,
        home: &Home,
        parcel: Parcel,
    ) -> Result<Response<Incoming>, Lost> {
        let line = self.line(home).ok_or(Lost::NotSent)?;
        let mut sender = line.sender(self).await.ok_or(Lost::NotSent)?;
        let request = parcel.into_request().ok_or(Lost::NotSent)?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok(returned(response)),
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                tracing::debug!(proxy = %home.proxy, error = %error.error(), unsent, "a neighbour was lost");
                Err(if unsent { Lost::NotSent } else { Lost::Broken })
            }
        }
    }

    fn line(&self, home: &Home) -> Option<Arc<Line>> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(home) {
            return Some(Arc::clone(line));
        }
        drop(lines);
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES {
            // Drops unused connections; a peer that is needed again is connected again.
            lines.retain(|_home, line| Arc::strong_count(line) > 1);
        }
        if lines.len() >= LINES {
            return None;
        }
        let line = lines.entry(home.clone()).or_insert_with(|| {
            Arc::new(Line {
                home: home.clone(),
                state: Mutex::default(),
            })
        });
        Some(Arc::clone(line))
    }

    async fn connect(&self, home: &Home) -> Option<SendRequest<Full<Bytes>>> {
        let membership = self.membership.borrow().clone()?;
        let trusted = [membership.authority];
        let config = tls::client(&trusted, Some(&membership.identity), tls::ALPN_H2).ok()?;
        let server_name = neighbour_name(home.proxy.as_str()).try_into().ok()?;
        let tls = ClientTls {
            config,
            server_name,
        };
        let connector = control_channel(home.at.as_deref()?, Some(tls));
        let stream = connector.open().await.ok()?;
        let mut builder = Builder::new(Beside(self.drain.clone()));
        builder
            .timer(TokioTimer::new())
            .initial_connection_window_size(8 * 1024 * 1024)
            .initial_stream_window_size(1024 * 1024)
            .keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .keep_alive_while_idle(true);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
        drop(self.drain.spawn_unguarded(async move {
            // The next user of the connection notices its end.
            let _ended = connection.await;
        }));
        Some(sender)
    }
}

impl Line {
    /// Returns an open connection, or opens one. One task at a time connects.
    async fn sender(&self, neighbours: &Neighbours) -> Option<SendRequest<Full<Bytes>>> {
        let mut state = self.state.lock().await;
        if let Some(sender) = state.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(sender.clone());
        }
        state.sender = None;
        let now = neighbours.clock.monotonic();
        if state.not_before.is_some_and(|then| now < then) {
            return None;
        }
        let made = timeout(CONNECT, neighbours.connect(&self.home)).await;
        let made = made.ok().flatten();
        state.sender.clone_from(&made);
        if made.is_none() {
            tracing::info!(proxy = %self.home.proxy, "a neighbour cannot be reached; its sessions are served here");
            state.not_before = Some(neighbours.clock.monotonic() + PAUSE);
        }
        made
    }
}

impl Parcel {
    /// Builds the request from the headers that the peer needs.
    pub(crate) fn new(method: Method, path: &str, headers: &HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            path: path.into(),
            headers: kept(headers, &TAKEN),
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

fn kept(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
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

fn returned(mut response: Response<Incoming>) -> Response<Incoming> {
    let headers = kept(response.headers(), &RETURNED);
    *response.headers_mut() = headers;
    response
}

impl<F> Executor<F> for Beside
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn_unguarded(future));
    }
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Neighbours(of {})", self.proxy)
    }
}
