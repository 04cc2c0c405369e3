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
use tokio::time::{Instant, sleep};

use crate::{
    body::Body,
    connector::{Connection, Connector},
    error::{EgressError, chain},
    http_client::PoolOptions,
    line::Line,
};

/// Maximum number of pooled hosts. Most clients use one.
const HOSTS: usize = 256;

/// Maximum number of bytes read at once from a large response.
const BUFFER: usize = 256 * 1024;

/// Number of thread slots. Each slot keeps the connections opened by its threads; more threads than slots share them.
const THREADS: usize = 16;

thread_local! {
    /// Slot of the current thread.
    static THREAD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % THREADS
    };
}

/// Pooled hosts of one client.
pub(crate) struct Pool {
    connector: Connector,
    options: PoolOptions,
    http1: http1::Builder,
    hosts: RwLock<Vec<Arc<Host>>>,
}

/// Connections of one host.
pub(crate) struct Host {
    secure: bool,
    authority: Authority,
    /// Value of the `Host` header for HTTP/1.1.
    pub(crate) name: HeaderValue,
    /// Idle connections by thread slot; the most recently used one is last.
    idle: Box<[Mutex<Lines>]>,
    /// Number of idle connections.
    count: AtomicUsize,
    most: usize,
    idle_timeout: Duration,
    /// True while a task closes idle connections.
    watched: AtomicBool,
    shared: Mutex<Option<http2::SendRequest<Body>>>,
    /// Held while an HTTP/2 connection is opened: one serves all requests.
    opening: tokio::sync::Mutex<()>,
    speaks_http2: AtomicBool,
}

/// Boxed, since connections are large and move between owners.
type Lines = Vec<Box<Line>>;

/// Connection for one request.
pub(crate) enum Way {
    /// Connection used by this request alone; `reused` if it has served a request before.
    Own { line: Box<Line>, used: bool },
    /// Shared connection.
    Shared(http2::SendRequest<Body>),
}

impl Pool {
    pub(crate) fn new(connector: Connector, options: PoolOptions) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .max_header_size(options.max_head)
            .max_buf_size(BUFFER.max(options.max_head));
        Self {
            connector,
            options,
            http1,
            hosts: RwLock::default(),
        }
    }

    /// Returns the entry of a URL's host.
    pub(crate) fn host(&self, uri: &Uri) -> Result<Arc<Host>, EgressError> {
        let authority = uri
            .authority()
            .ok_or(EgressError::Url("it names no host"))?;
        let secure = uri.scheme_str() == Some("https");
        let is_it = |host: &&Arc<Host>| host.secure == secure && host.authority == *authority;
        {
            let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(host) = hosts.iter().find(is_it) {
                return Ok(Arc::clone(host));
            }
        }
        let made = Arc::new(Host::new(authority, secure, &self.options)?);
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.iter().find(is_it) {
            return Ok(Arc::clone(host));
        }
        if hosts.len() >= HOSTS {
            hosts.retain(|host| Arc::strong_count(host) > 1);
        }
        if hosts.len() < HOSTS {
            hosts.push(Arc::clone(&made));
        }
        Ok(made)
    }

    /// Opens a connection.
    pub(crate) async fn open(&self, host: &Host, uri: &Uri) -> Result<Way, EgressError> {
        let _alone = if host.speaks_http2.load(Ordering::Relaxed) {
            let alone = host.opening.lock().await;
            if let Some(shared) = host.shared() {
                return Ok(Way::Shared(shared));
            }
            Some(alone)
        } else {
            None
        };
        let stream = self.connector.connect(uri).await?;
        let broken = |error: hyper::Error| EgressError::Broken(chain(&error));
        if !speaks_http2(&stream) {
            host.speaks_http2.store(false, Ordering::Relaxed);
            let thread = THREAD.with(|thread| *thread);
            let line = Line::new(stream, &self.http1, thread).await;
            let line = line.map_err(broken)?;
            return Ok(Way::Own { line, used: false });
        }
        let shaken = http2().handshake(stream).await;
        let (sender, connection) = shaken.map_err(broken)?;
        TokioExecutor::new().execute(async move {
            // Pending requests receive the outcome of the connection.
            drop(connection.await);
        });
        host.speaks_http2.store(true, Ordering::Relaxed);
        *host.locked_shared() = Some(sender.clone());
        Ok(Way::Shared(sender))
    }
}

fn speaks_http2(stream: &Connection) -> bool {
    match stream {
        Connection::Http(_) => false,
        Connection::Https(tls) => tls.inner().get_ref().1.alpn_protocol() == Some(b"h2"),
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

impl Host {
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
            idle: std::iter::repeat_with(Mutex::default)
                .take(THREADS)
                .collect(),
            count: AtomicUsize::new(0),
            most: options.max_idle_per_host,
            idle_timeout: options.idle_timeout,
            watched: AtomicBool::new(false),
            shared: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            speaks_http2: AtomicBool::new(false),
        })
    }

    /// Returns an idle HTTP/1.1 connection or the shared HTTP/2 connection.
    pub(crate) fn standing(&self) -> Option<Way> {
        match self.take() {
            Some(line) => Some(Way::Own { line, used: true }),
            None => self.shared().map(Way::Shared),
        }
    }

    /// Returns an idle connection, preferably of this thread's slot: on a connection of another thread, every response
    /// would wake that thread too. If the slot has none, one of another thread is still cheaper than a new connection.
    fn take(&self) -> Option<Box<Line>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let own = THREAD.with(|thread| *thread);
        let others = (0..THREADS).filter(|thread| *thread != own);
        std::iter::once(own)
            .chain(others)
            .find_map(|thread| self.take_of(thread))
    }

    /// Returns the most recently used connection of a slot, unless it is too old.
    fn take_of(&self, thread: usize) -> Option<Box<Line>> {
        let mut idle = self.idle(thread)?;
        let line = idle.pop()?;
        if line.idle_since.elapsed() < self.idle_timeout {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Some(line);
        }
        // All others are older. They are closed outside of the lock.
        let old = std::mem::take(&mut *idle);
        drop(idle);
        self.count.fetch_sub(old.len() + 1, Ordering::Relaxed);
        drop((line, old));
        None
    }

    /// Returns a connection to the pool if it can be used again.
    pub(crate) fn put(self: &Arc<Self>, mut line: Box<Line>) {
        if !line.is_free() {
            return;
        }
        line.rest();
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if let Some(mut idle) = self.idle(line.thread) {
            idle.push(line);
        }
        if !self.watched.load(Ordering::Relaxed) {
            self.watch();
        }
    }

    fn idle(&self, thread: usize) -> Option<MutexGuard<'_, Lines>> {
        let idle = self.idle.get(thread)?;
        Some(idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn locked_shared(&self) -> MutexGuard<'_, Option<http2::SendRequest<Body>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> Option<http2::SendRequest<Body>> {
        if !self.speaks_http2.load(Ordering::Relaxed) {
            return None;
        }
        let mut shared = self.locked_shared();
        if shared.as_ref().is_some_and(http2::SendRequest::is_closed) {
            *shared = None;
        }
        shared.clone()
    }

    /// Starts the task that closes idle connections; it ends when none is left.
    fn watch(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err()
            || self.watched.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let watch = Watch(Arc::downgrade(self));
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
        let fresh = |line: &Line| now.saturating_duration_since(line.idle_since) < most;
        for idle in &self.idle {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            let old = idle.partition_point(|line| !fresh(line));
            let old: Vec<_> = idle.drain(..old).collect();
            drop(idle);
            self.count.fetch_sub(old.len(), Ordering::Relaxed);
        }
        self.count.load(Ordering::Relaxed) > 0
    }
}

/// Guard of the sweeper task: however the task ends, a new one can be started.
struct Watch(Weak<Host>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(host) = self.0.upgrade() {
            host.watched.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
