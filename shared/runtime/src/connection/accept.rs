//! Accepts the connections of a listener. The accept queue is always read: a connection beyond the limits is closed at
//! once, so that none waits behind it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{Instant, sleep},
};

use super::limiter::{ConnectionLimiter, ConnectionPermit};
use crate::{backoff::Backoff, random};

/// Minimum time between two log lines about refused and evicted connections.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts connections forever; the caller stops it by dropping the future. `start` spawns the task that serves a
/// connection and holds its permit.
pub async fn accept(
    listener: &TcpListener,
    name: &'static str,
    limiter: &Arc<ConnectionLimiter>,
    mut start: impl FnMut(TcpStream, SocketAddr, ConnectionPermit) -> Option<AbortHandle>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    let mut report = LossReport::new(name);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff.reset();
                let permit = limiter.admit(peer.ip());
                report.update(limiter);
                let Some(permit) = permit else {
                    continue;
                };
                if stream.set_nodelay(true).is_err() {
                    continue;
                }
                let seat = Arc::clone(permit.seat());
                if let Some(task) = start(stream, peer, permit) {
                    seat.set_task(task);
                }
            }
            Err(error) if is_client_abort(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory. Accepting again without a pause would spin.
                tracing::warn!(%error, listener = name, "a connection cannot be accepted");
                sleep(Duration::from_millis(10) + backoff.next(random::number())).await;
            }
        }
    }
}

/// Log lines about refused and evicted connections, limited in frequency.
struct LossReport {
    listener: &'static str,
    reported: (u64, u64),
    next: Instant,
}

impl LossReport {
    fn new(listener: &'static str) -> Self {
        Self {
            listener,
            reported: (0, 0),
            next: Instant::now(),
        }
    }

    fn update(&mut self, limiter: &ConnectionLimiter) {
        let losses = limiter.losses();
        let now = Instant::now();
        if losses == self.reported || now < self.next {
            return;
        }
        let refused = losses.0 - self.reported.0;
        let evicted = losses.1 - self.reported.1;
        tracing::warn!(
            listener = self.listener,
            refused,
            evicted,
            "the limit of connections is reached: idle ones make room for new ones"
        );
        self.reported = losses;
        self.next = now + REPORT_INTERVAL;
    }
}

/// Returns `true` if the error belongs to a connection that was closed before it was accepted.
fn is_client_abort(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
