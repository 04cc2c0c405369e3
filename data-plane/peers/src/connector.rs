//! Opening of connections to peers: HTTP/2 over mutual TLS with the certificates of the fleet.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch::Receiver;
use toolgate_data_core::OwningProxy;
use toolgate_egress::{ClientTls, control_channel};
use toolgate_runtime::{
    Drain, SharedClock,
    tls::{self, FleetMembership, peer_server_name},
};

/// Interval between keep-alive pings, and timeout of their acknowledgement.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// Window of a connection, in bytes.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Window of a stream, in bytes.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// Opens connections to peers with this proxy's membership of the fleet.
pub(crate) struct PeerConnector {
    membership: Receiver<Option<FleetMembership>>,
    drain: Drain,
    clock: SharedClock,
}

/// Executor for the tasks that hyper spawns for a connection.
#[derive(Clone)]
struct DrainExecutor(Drain);

impl PeerConnector {
    pub(crate) fn new(
        membership: Receiver<Option<FleetMembership>>,
        drain: Drain,
        clock: SharedClock,
    ) -> Self {
        Self {
            membership,
            drain,
            clock,
        }
    }

    /// Returns `true` if this proxy has a certificate of the fleet.
    pub(crate) fn has_membership(&self) -> bool {
        self.membership.borrow().is_some()
    }

    /// Returns the time that decides when a peer is tried again.
    pub(crate) fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }

    /// Opens a connection. Returns `None` if the peer cannot be reached.
    pub(crate) async fn connect(&self, peer: &OwningProxy) -> Option<SendRequest<Full<Bytes>>> {
        let membership = self.membership.borrow().clone()?;
        let trusted = [membership.authority];
        let config = tls::client(&trusted, Some(&membership.identity), tls::ALPN_H2).ok()?;
        let server_name = peer_server_name(peer.proxy.as_str()).try_into().ok()?;
        let tls = ClientTls {
            config,
            server_name,
        };
        let connector = control_channel(peer.address.as_deref()?, Some(tls));
        let stream = connector.open().await.ok()?;
        let mut builder = Builder::new(DrainExecutor(self.drain.clone()));
        builder
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
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

impl<F> Executor<F> for DrainExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn_unguarded(future));
    }
}
