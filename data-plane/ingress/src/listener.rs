//! TCP listener of the data plane: accepts connections, enforces the connection limits and drains in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::task::AbortHandle;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::sleep,
};
use toolgate_runtime::{
    Drain, Liveness, MemoryBudget,
    connection::{ConnectionLimiter, ConnectionPermit, accept},
    hosts::{HostPolicy, InvalidHost},
    metrics::Metrics,
};

use crate::{
    connection::{ConnectionContext, serve},
    handler::RequestHandler,
    limits::ListenerLimits,
    origins::{InvalidOrigin, OriginAllowlist},
    worker_pool::WorkerPool,
};

/// Length of the kernel's accept queue, in connections.
const BACKLOG: u32 = 4096;

/// Configuration of a [`Listener`].
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// Host names accepted in addition to loopback and the listen address: `host` (any port) or `host:port`.
    pub public_hosts: Vec<String>,
    /// Metrics that count requests for other hosts.
    pub metrics: Option<Metrics>,
    /// Origins of the web pages that may use the listener from a browser; see [`OriginAllowlist::new`].
    pub allowed_origins: Vec<String>,
    /// TLS configuration; its resolver renews certificate and key. Without it the listener speaks plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Limits of connections and requests.
    pub limits: ListenerLimits,
    /// Time during which connections are still accepted after a drain began, until every load balancer has noticed.
    pub linger: Duration,
    /// Budget of the responses that clients read, if any. While it is short, slow readers have less time.
    pub responses: Option<Arc<MemoryBudget>>,
    /// Number of worker threads that serve connections; defaults to the number of processors.
    pub threads: usize,
    /// Liveness of the process, which observes the workers.
    pub liveness: Liveness,
}

/// Bound HTTP listener.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    context: ListenerContext,
    connection_limiter: Arc<ConnectionLimiter>,
    linger: Duration,
    workers: WorkerPool,
}

/// Error of a [`Listener`] that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// Binding or listening on the address failed.
    #[error("cannot listen at {0}; is another program running there? choose another address")]
    Listen(SocketAddr, #[source] io::Error),
    /// The worker threads could not be started.
    #[error("the worker threads cannot be started")]
    Threads(#[source] io::Error),
    /// An entry of the public hosts is not a host name.
    #[error(transparent)]
    Host(#[from] InvalidHost),
    /// An entry of the allowed origins is not an origin.
    #[error(transparent)]
    Origin(#[from] InvalidOrigin),
}

/// State shared by all connections of a listener.
#[derive(Debug)]
pub(crate) struct ListenerContext {
    pub(crate) hosts: HostPolicy,
    pub(crate) origins: OriginAllowlist,
    pub(crate) limits: ListenerLimits,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) responses: Option<Arc<MemoryBudget>>,
}

impl ListenerOptions {
    /// Returns options with default limits and without TLS.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            public_hosts: Vec::new(),
            metrics: None,
            allowed_origins: Vec::new(),
            tls: None,
            limits: ListenerLimits::default(),
            linger: Duration::ZERO,
            responses: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            liveness: Liveness::default(),
        }
    }

    /// Sets what the listener shares with the process: the budget of responses, and metrics.
    #[must_use]
    pub fn with_shared(mut self, responses: &Arc<MemoryBudget>, metrics: &Metrics) -> Self {
        self.responses = Some(Arc::clone(responses));
        self.metrics = Some(metrics.clone());
        self
    }
}

impl Listener {
    /// Binds the address and starts the workers. Connections wait in the accept queue until [`serve`](Self::serve).
    pub fn bind(options: ListenerOptions) -> Result<Self, ListenerError> {
        let failed = |error| ListenerError::Listen(options.listen, error);
        let listener = listen(options.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let names = options.public_hosts.iter().map(String::as_str);
        let mut hosts = HostPolicy::new(address, names, "--public-host")?;
        if let Some(metrics) = &options.metrics {
            hosts = hosts.with_metrics("client", metrics);
        }
        let origins = OriginAllowlist::new(options.allowed_origins.iter().map(String::as_str))?;
        let limits = options.limits;
        let connection_limiter = ConnectionLimiter::new(&limits.connection);
        let tls = options.tls;
        let budget = MemoryBudget::new(limits.total_body_bytes);
        let context = ListenerContext {
            hosts,
            origins,
            limits,
            tls,
            budget,
            responses: options.responses,
        };
        let linger = options.linger;
        let workers = WorkerPool::start(options.threads, &options.liveness)
            .map_err(ListenerError::Threads)?;
        Ok(Self {
            listener,
            address,
            context,
            connection_limiter,
            linger,
            workers,
        })
    }

    /// Sets the TLS configuration, for a certificate that is issued after the address was bound.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<ServerConfig>) -> Self {
        self.context.tls = Some(tls);
        self
    }

    /// Returns the local address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the drain begins, the linger time has passed and the handler expects no more answers of
    /// clients, then closes the listening socket and asks open connections to close. Returns without waiting for them: the drain waits.
    pub async fn serve<G: RequestHandler>(self, handler: Arc<G>, drain: Drain) {
        let Self {
            listener,
            address: _,
            context,
            connection_limiter,
            linger,
            workers,
        } = self;
        let context = Arc::new(context);
        let (closing, close_receiver) = watch::channel(false);
        let stop = async {
            drain.draining().await;
            sleep(linger).await;
            Arc::clone(&handler).answered().await;
        };
        let start = |stream, peer, permit| {
            let connection_context = ConnectionContext {
                handler: Arc::clone(&handler),
                listener: Arc::clone(&context),
                drain: drain.clone(),
                closing: close_receiver.clone(),
            };
            start_connection(&workers, connection_context, stream, peer, permit)
        };
        tokio::select! {
            biased;
            () = stop => {}
            () = accept(&listener, "client connection", &connection_limiter, start) => {}
        }
        drop(listener);
        closing.send_replace(true);
        // The workers run until the drain has settled, so that open connections can finish.
        let settled = drain.settled();
        drop(drain.spawn_last("worker pool", async move {
            settled.await;
            drop(workers);
        }));
    }
}

/// Starts to serve a connection on a worker.
fn start_connection<G: RequestHandler>(
    workers: &WorkerPool,
    connection_context: ConnectionContext<G>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: ConnectionPermit,
) -> Option<AbortHandle> {
    // Deregisters the socket from this runtime; the worker's runtime registers it.
    let stream = stream.into_std().ok()?;
    let guard = connection_context.drain.blocker("connection");
    workers.spawn(move || async move {
        let (_guard, permit) = (guard, permit);
        if let Ok(stream) = TcpStream::from_std(stream) {
            let serving = serve(connection_context, stream, peer.ip(), &permit);
            let detached = Box::pin(serving).await;
            if let Some(detached) = detached {
                detached.await;
            }
        }
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests;
