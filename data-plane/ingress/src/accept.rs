//! TCP listener of the data plane: accepts connections, enforces the connection limits and drains in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::sleep,
};
use toolgate_runtime::{Backoff, Budget, Drain, random};

use crate::{
    admission::Admission,
    carriers::Carriers,
    connection::{Host, serve},
    gate::Gate,
    hosts::{Hosts, InvalidHost},
    limits::DoorLimits,
};

/// Length of the kernel's accept queue, in connections.
const BACKLOG: u32 = 4096;

/// Configuration of a [`Listener`].
#[derive(Debug, Clone)]
pub struct DoorOptions {
    /// Address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// Host names accepted in addition to loopback and the listen address: `host` (any port) or `host:port`.
    pub public_hosts: Vec<String>,
    /// TLS configuration; its resolver renews certificate and key. Without it the listener speaks plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Limits of connections and requests.
    pub limits: DoorLimits,
    /// Time during which connections are still accepted after a drain began, until every load balancer has noticed.
    pub linger: Duration,
    /// Number of worker threads that serve connections; defaults to the number of processors.
    pub threads: usize,
}

/// Bound HTTP listener.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    linger: Duration,
    carriers: Carriers,
}

/// Error of a [`Listener`] that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Binding or listening on the address failed.
    #[error("cannot listen at {0}; is another program running there? choose another address")]
    Listen(SocketAddr, #[source] io::Error),
    /// The worker threads could not be started.
    #[error("connections cannot be carried")]
    Threads(#[source] io::Error),
    /// An entry of the public hosts is not a host name.
    #[error(transparent)]
    Host(#[from] InvalidHost),
}

/// State shared by all connections of a listener.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) hosts: Hosts,
    pub(crate) limits: DoorLimits,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) budget: Arc<Budget>,
}

impl DoorOptions {
    /// Returns options with default limits and without TLS.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            public_hosts: Vec::new(),
            tls: None,
            limits: DoorLimits::default(),
            linger: Duration::ZERO,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Door {
    /// Binds the address and starts the workers. Connections wait in the accept queue until [`serve`](Self::serve).
    pub fn open(options: DoorOptions) -> Result<Self, DoorError> {
        let failed = |error| DoorError::Listen(options.listen, error);
        let listener = listen(options.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let hosts = Hosts::new(address, options.public_hosts.iter().map(String::as_str))?;
        let limits = options.limits;
        let admission = Admission::new(limits.connections, limits.connections_per_address);
        let tls = options.tls;
        let budget = Budget::new(limits.bodies);
        let shared = Arc::new(Shared {
            hosts,
            limits,
            tls,
            budget,
        });
        let linger = options.linger;
        let carriers = Carriers::start(options.threads).map_err(DoorError::Threads)?;
        Ok(Self {
            listener,
            address,
            shared,
            admission,
            linger,
            carriers,
        })
    }

    /// Sets the TLS configuration, for a certificate that is issued after the address was bound.
    #[must_use]
    pub fn presenting(mut self, tls: Arc<ServerConfig>) -> Self {
        // The only reference: no connection has been accepted yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.tls = Some(tls);
        }
        self
    }

    /// Returns the local address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the drain begins and the linger time has passed, then closes the listening socket and
    /// asks open connections to close. Returns without waiting for them: the drain waits.
    pub async fn serve<G: Gate>(self, gate: Arc<G>, drain: Drain) {
        let (closing, watched) = watch::channel(false);
        let stop = async {
            drain.draining().await;
            sleep(self.linger).await;
        };
        let mut stop = std::pin::pin!(stop);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    backoff.reset();
                    let host = Host {
                        gate: Arc::clone(&gate),
                        shared: Arc::clone(&self.shared),
                        drain: drain.clone(),
                        closing: watched.clone(),
                    };
                    self.take(host, stream, peer);
                }
                Err(error) if is_theirs(&error) => {}
                Err(error) => {
                    // Out of file descriptors or memory. Accepting again without a pause would spin.
                    tracing::warn!(%error, "connections cannot be taken in");
                    sleep(Duration::from_millis(10) + backoff.next(random::number())).await;
                }
            }
        }
        drop(self.listener);
        closing.send_replace(true);
        // The workers run until the drain has settled, so that open connections can finish.
        let (carriers, settled) = (self.carriers, drain.settled());
        drop(drain.spawn_last("carriers", async move {
            settled.await;
            drop(carriers);
        }));
    }

    fn take<G: Gate>(&self, host: Host<G>, stream: TcpStream, peer: SocketAddr) {
        let Some(seat) = self.admission.admit(peer.ip()) else {
            return;
        };
        if stream.set_nodelay(true).is_err() {
            return;
        }
        // Deregisters the socket from this runtime; the worker's runtime registers it.
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let guard = host.drain.blocker("connection");
        self.carriers.carry(move || async move {
            let (_guard, _seat) = (guard, seat);
            if let Ok(stream) = TcpStream::from_std(stream) {
                let rest = Box::pin(serve(host, stream, peer.ip())).await;
                if let Some(rest) = rest {
                    rest.await;
                }
            }
        });
    }
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

/// Returns `true` if the error belongs to a connection that was gone before it was accepted.
fn is_theirs(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
