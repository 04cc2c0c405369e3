//! The listener: takes connections in, and stops in order.

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

/// Connections that the kernel keeps for us between two looks.
const BACKLOG: u32 = 4096;

/// How a door is set up.
#[derive(Debug, Clone)]
pub struct DoorOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names under which clients call us, beside loopback and the address itself: `host` or `host:port`.
    pub public_hosts: Vec<String>,
    /// Certificate and key; their resolver sees to their renewal.
    pub tls: Option<Arc<ServerConfig>>,
    /// Bounds.
    pub limits: DoorLimits,
    /// How long to go on accepting after a drain began, until every balancer has noticed.
    pub linger: Duration,
    /// Threads that carry connections; as many as there are processors, unless said otherwise.
    pub threads: usize,
}

/// A listener that stands.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    linger: Duration,
    carriers: Carriers,
}

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The address cannot be listened at.
    #[error("cannot listen at {0}; is another program running there? choose another address")]
    Listen(SocketAddr, #[source] io::Error),
    /// There are no threads to carry connections.
    #[error("connections cannot be carried")]
    Threads(#[source] io::Error),
    /// A public host is none.
    #[error(transparent)]
    Host(#[from] InvalidHost),
}

/// What all connections of a door look at.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) hosts: Hosts,
    pub(crate) limits: DoorLimits,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) budget: Arc<Budget>,
}

impl DoorOptions {
    /// With default bounds, without TLS.
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
    /// Listens. Connections wait until [`serve`](Self::serve).
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

    /// Presents this to every connection: for a certificate that came later than the address.
    #[must_use]
    pub fn presenting(mut self, tls: Arc<ServerConfig>) -> Self {
        // Nobody else looks before connections are taken in.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.tls = Some(tls);
        }
        self
    }

    /// Where it stands.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes connections in until drained; returns when no more are taken. Those that stand are asked to close and
    /// are waited for by the drain.
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
                    // Out of descriptors or memory: accepting at once again would spin.
                    tracing::warn!(%error, "connections cannot be taken in");
                    sleep(Duration::from_millis(10) + backoff.next(random::number())).await;
                }
            }
        }
        drop(self.listener);
        closing.send_replace(true);
        // What they carry goes on until nothing is served any more.
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
        // Given up by this runtime: its carrier's hears of it from now on.
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

/// Whether a connection was gone before we took it.
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
