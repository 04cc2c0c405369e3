//! Exhaustion of the process's own resources for connections: descriptors, ports and memory. It says nothing about the server
//! that a connection was meant for.

use std::{
    io,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;
use tokio::{net::TcpSocket, time::Instant};

/// Minimum time between two log lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Reason why a TCP connection was not opened.
#[derive(Debug)]
pub(crate) enum DialError {
    /// This process has no resources for another connection.
    Exhausted(io::Error),
    /// The address or the way to it.
    Failed(io::Error),
}

impl DialError {
    /// Classifies an error of a connection to `address`.
    pub(crate) fn of(error: io::Error, address: IpAddr) -> Self {
        // The local port is chosen by the system, which fails when all are used. For IPv6 the same error also means that the
        // host has no address of its own.
        let is_out_of_ports = address.is_ipv4() && errno(&error) == Some(Errno::ADDRNOTAVAIL);
        match is_out_of_ports || is_exhaustion(&error) {
            true => Self::Exhausted(error),
            false => Self::Failed(error),
        }
    }

    /// Classifies an error of the resolution of a host name. Resolvers report a lack of descriptors as any other failure, so
    /// that a socket is opened to find out.
    pub(crate) fn of_resolution(error: io::Error) -> Self {
        if is_exhaustion(&error) {
            return Self::Exhausted(error);
        }
        match TcpSocket::new_v4() {
            Err(exhausted) if is_exhaustion(&exhausted) => Self::Exhausted(exhausted),
            Ok(_) | Err(_) => Self::Failed(error),
        }
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        errno(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Count of the connections that were not opened, and log lines about them, limited in frequency.
#[derive(Debug, Default)]
pub(crate) struct ExhaustionLog {
    count: AtomicU64,
    next_report: Mutex<Option<Instant>>,
}

impl ExhaustionLog {
    /// Records a connection that was not opened.
    pub(crate) fn record(&self, error: &io::Error) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let now = Instant::now();
        let mut next = self
            .next_report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if next.is_some_and(|next| now < next) {
            return;
        }
        *next = Some(now + REPORT_INTERVAL);
        drop(next);
        tracing::warn!(
            %error,
            count,
            "this process has no resources for more connections to servers: raise its limit of open files (`ulimit -n`, \
             `LimitNOFILE=`)"
        );
    }

    /// Returns the number of connections that were not opened.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
