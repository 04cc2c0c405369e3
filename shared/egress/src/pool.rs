//! Connection pool by host. An HTTP/1.1 connection serves one request at a time and returns to the pool only after its
//! response was read to the end; HTTP/2 connections are shared. The most recently used connection is taken first, so
//! that surplus connections become idle. Idle connections are closed before common servers would close them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Uri, uri::Authority};
use hyper::{client::conn::http1, client::conn::http2, rt::Executor as _};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    body::EgressRequestBody,
    chain,
    connector::{TransportStream, VettingConnector},
    error::EgressError,
    forward_proxy::ForwardProxy,
    http1_connection::Http1Connection,
};

/// Maximum number of pooled hosts. Most clients use one.
const MAX_HOSTS: usize = 256;

/// Maximum number of bytes read at once from a large response. A stream whose client reads slowly holds up to three such
/// reads: in the connection, between connection and body, and with the reader.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Number of thread slots. Each slot keeps the connections opened by its threads; more threads than slots share them.
const THREAD_SLOTS: usize = 16;

thread_local! {
    /// Slot of the current thread.
    static THREAD_SLOT: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % THREAD_SLOTS
    };
}

/// Options of a client's connection pool. The number of open connections is not limited here: for calls of the data plane
/// the bulkhead of `data-plane/upstream` bounds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    /// Timeout for resolution, TCP connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// Time after which an unused connection is closed.
    pub idle_timeout: Duration,
    /// Maximum number of unused connections per host.
    pub max_idle_per_host: usize,
    /// True if HTTP/2 is offered in the TLS handshake. Plain HTTP is always HTTP/1.1.
    pub http2: bool,
    /// Maximum size of an HTTP/1.1 response head in bytes.
    pub max_head: usize,
}

/// Pooled hosts of one client.
pub(crate) struct ConnectionPool {
    connector: VettingConnector,
    options: PoolOptions,
    http1: http1::Builder,
    hosts: RwLock<Vec<Arc<HostPool>>>,
}

/// Connections of one host.
pub(crate) struct HostPool {
    secure: bool,
    authority: Authority,
    /// Value of the `Host` header for HTTP/1.1.
    pub(crate) name: HeaderValue,
    /// Proxy that is given whole requests: that of an http URL.
    pub(crate) forward_proxy: Option<ForwardProxy>,
    /// Idle connections by thread slot; the most recently used one is last.
    idle: Box<[Mutex<IdleConnections>]>,
    /// Number of idle connections.
    idle_count: AtomicUsize,
    max_idle: usize,
    idle_timeout: Duration,
    /// True while a task closes idle connections.
    sweeping: AtomicBool,
    http2_sender: Mutex<Option<http2::SendRequest<EgressRequestBody>>>,
    /// Held while an HTTP/2 connection is opened: one serves all requests.
    http2_connect: tokio::sync::Mutex<()>,
    speaks_http2: AtomicBool,
}

/// Boxed, since connections are large and move between owners.
type IdleConnections = Vec<Box<Http1Connection>>;

/// Connection for one request.
pub(crate) enum PooledConnection {
    /// Connection used by this request alone; `reused` if it has served a request before.
    Http1 {
        connection: Box<Http1Connection>,
        used: bool,
    },
    /// Shared connection.
    Http2(http2::SendRequest<EgressRequestBody>),
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            // Common servers close an idle connection after 5 s. A request sent at that moment fails without certainty
            // that the server has not received it, and a tool call must not be sent twice. The client therefore closes
            // first.
            idle_timeout: Duration::from_secs(4),
            max_idle_per_host: 1024,
            http2: true,
            max_head: 64 * 1024,
        }
    }
}

impl ConnectionPool {
    pub(crate) fn new(connector: VettingConnector, options: PoolOptions) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .max_header_size(options.max_head)
            .max_buf_size(READ_BUFFER_BYTES.max(options.max_head));
        Self {
            connector,
            options,
            http1,
            hosts: RwLock::default(),
        }
    }

    /// Returns the entry of a URL's host.
    pub(crate) fn host(&self, uri: &Uri) -> Result<Arc<HostPool>, EgressError> {
        let authority = uri
            .authority()
            .ok_or(EgressError::Url("it names no host"))?;
        let secure = uri.scheme_str() == Some("https");
        let is_it = |host: &&Arc<HostPool>| host.secure == secure && host.authority == *authority;
        {
            let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(host) = hosts.iter().find(is_it) {
                return Ok(Arc::clone(host));
            }
        }
        let mut made = HostPool::new(authority, secure, &self.options)?;
        if !secure {
            made.forward_proxy = self.connector.policy.proxies.of(uri);
        }
        let made = Arc::new(made);
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.iter().find(is_it) {
            return Ok(Arc::clone(host));
        }
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|host| Arc::strong_count(host) > 1);
        }
        if hosts.len() < MAX_HOSTS {
            hosts.push(Arc::clone(&made));
        }
        Ok(made)
    }

    /// Opens a connection within `time`, which is at most the timeout of the pool. The wait for another request that opens
    /// the shared connection counts.
    pub(crate) async fn open(
        &self,
        host: &HostPool,
        uri: &Uri,
        time: Duration,
    ) -> Result<PooledConnection, EgressError> {
        let deadline = Instant::now() + time.min(self.options.connect_timeout);
        let _connect_guard = if host.speaks_http2.load(Ordering::Relaxed) {
            let locked = timeout_at(deadline, host.http2_connect.lock()).await;
            let connect_guard = locked.map_err(|_elapsed| EgressError::ConnectTimeout {
                host: host.authority.host().to_owned(),
            })?;
            if let Some(shared) = host.http2_sender() {
                return Ok(PooledConnection::Http2(shared));
            }
            Some(connect_guard)
        } else {
            None
        };
        let stream = self.connector.connect(uri, deadline).await?;
        let broken = |error: hyper::Error| EgressError::Broken(chain(&error));
        if !speaks_http2(&stream) {
            host.speaks_http2.store(false, Ordering::Relaxed);
            let thread = THREAD_SLOT.with(|thread| *thread);
            let connection = Http1Connection::new(stream, &self.http1, thread).await;
            let connection = connection.map_err(broken)?;
            return Ok(PooledConnection::Http1 {
                connection,
                used: false,
            });
        }
        let handshake = http2().handshake(stream).await;
        let (sender, connection) = handshake.map_err(broken)?;
        TokioExecutor::new().execute(async move {
            // Pending requests receive the outcome of the connection.
            drop(connection.await);
        });
        host.speaks_http2.store(true, Ordering::Relaxed);
        *host.lock_http2() = Some(sender.clone());
        Ok(PooledConnection::Http2(sender))
    }
}

fn speaks_http2(stream: &TransportStream) -> bool {
    match stream {
        TransportStream::Http(_) => false,
        TransportStream::Https(tls) => tls.inner().get_ref().1.alpn_protocol() == Some(b"h2"),
    }
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

impl HostPool {
    fn new(
        authority: &Authority,
        secure: bool,
        options: &PoolOptions,
    ) -> Result<Self, EgressError> {
        let usual = if secure { 443 } else { 80 };
        let name = match authority.port_u16().filter(|port| *port != usual) {
            Some(port) => HeaderValue::try_from(format!("{}:{port}", authority.host())),
            None => HeaderValue::from_str(authority.host()),
        };
        Ok(Self {
            secure,
            authority: authority.clone(),
            name: name.map_err(|_invalid| EgressError::Url("its host is not a name"))?,
            forward_proxy: None,
            idle: std::iter::repeat_with(Mutex::default)
                .take(THREAD_SLOTS)
                .collect(),
            idle_count: AtomicUsize::new(0),
            max_idle: options.max_idle_per_host,
            idle_timeout: options.idle_timeout,
            sweeping: AtomicBool::new(false),
            http2_sender: Mutex::default(),
            http2_connect: tokio::sync::Mutex::default(),
            speaks_http2: AtomicBool::new(false),
        })
    }

    /// Returns an idle HTTP/1.1 connection or the shared HTTP/2 connection.
    pub(crate) fn checkout(&self) -> Option<PooledConnection> {
        match self.checkout_http1() {
            Some(connection) => Some(PooledConnection::Http1 {
                connection,
                used: true,
            }),
            None => self.http2_sender().map(PooledConnection::Http2),
        }
    }

    /// Returns an idle connection, preferably of this thread's slot: on a connection of another thread, every response
    /// would wake that thread too. If the slot has none, one of another thread is still cheaper than a new connection.
    fn checkout_http1(&self) -> Option<Box<Http1Connection>> {
        if self.idle_count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let own = THREAD_SLOT.with(|thread| *thread);
        let others = (0..THREAD_SLOTS).filter(|thread| *thread != own);
        std::iter::once(own)
            .chain(others)
            .find_map(|thread| self.checkout_from(thread))
    }

    /// Returns the most recently used connection of a slot, unless it is too old.
    fn checkout_from(&self, thread: usize) -> Option<Box<Http1Connection>> {
        let mut idle = self.idle(thread)?;
        let connection = idle.pop()?;
        if connection.idle_since.elapsed() < self.idle_timeout {
            self.idle_count.fetch_sub(1, Ordering::Relaxed);
            return Some(connection);
        }
        // All others are older. They are closed outside of the lock.
        let old = std::mem::take(&mut *idle);
        drop(idle);
        self.idle_count.fetch_sub(old.len() + 1, Ordering::Relaxed);
        drop((connection, old));
        None
    }

    /// Returns a connection to the pool if it can be used again.
    pub(crate) fn release(self: &Arc<Self>, mut connection: Box<Http1Connection>) {
        if !connection.is_reusable() {
            return;
        }
        connection.mark_idle();
        if self.idle_count.fetch_add(1, Ordering::Relaxed) >= self.max_idle {
            self.idle_count.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if let Some(mut idle) = self.idle(connection.thread) {
            idle.push(connection);
        }
        if !self.sweeping.load(Ordering::Relaxed) {
            self.start_sweeper();
        }
    }

    fn idle(&self, thread: usize) -> Option<MutexGuard<'_, IdleConnections>> {
        let idle = self.idle.get(thread)?;
        Some(idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_http2(&self) -> MutexGuard<'_, Option<http2::SendRequest<EgressRequestBody>>> {
        self.http2_sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn http2_sender(&self) -> Option<http2::SendRequest<EgressRequestBody>> {
        if !self.speaks_http2.load(Ordering::Relaxed) {
            return None;
        }
        let mut shared = self.lock_http2();
        if shared.as_ref().is_some_and(http2::SendRequest::is_closed) {
            *shared = None;
        }
        shared.clone()
    }

    /// Starts the task that closes idle connections; it ends when none is left.
    fn start_sweeper(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err()
            || self.sweeping.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let watch = SweepGuard(Arc::downgrade(self));
        let pause = self.idle_timeout / 2;
        TokioExecutor::new().execute(async move {
            loop {
                sleep(pause).await;
                let Some(host) = watch.0.upgrade() else {
                    return;
                };
                if !host.sweep() {
                    return;
                }
            }
        });
    }

    /// Closes connections that are too old; returns `true` if any are left.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        // The sweep runs every half of the timeout. A connection that would expire before the next sweep is closed now.
        let most = self.idle_timeout / 2;
        let fresh = |connection: &Http1Connection| {
            now.saturating_duration_since(connection.idle_since) < most
        };
        for idle in &self.idle {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            let old = idle.partition_point(|connection| !fresh(connection));
            let old: Vec<_> = idle.drain(..old).collect();
            drop(idle);
            self.idle_count.fetch_sub(old.len(), Ordering::Relaxed);
        }
        self.idle_count.load(Ordering::Relaxed) > 0
    }
}

/// Guard of the sweeper task: however the task ends, a new one can be started.
struct SweepGuard(Weak<HostPool>);

impl Drop for SweepGuard {
    fn drop(&mut self) {
        if let Some(host) = self.0.upgrade() {
            host.sweeping.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
