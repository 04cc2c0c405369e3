//! In-memory connections between roles in one process: the same protocol as over the network, without a socket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::{
    io::DuplexStream,
    sync::mpsc::{self, Receiver, Sender},
};

/// Buffer size in bytes of each direction of a connection.
pub const BUFFER: usize = 256 * 1024;

/// Maximum number of dialled connections that have not been accepted.
pub const BACKLOG: usize = 16;

/// Client end of the transport.
#[derive(Debug, Clone)]
pub struct MemoryDialer {
    connections: Sender<DuplexStream>,
}

/// Server end of the transport: a stream of accepted connections.
#[derive(Debug)]
pub struct MemoryListener {
    connections: Receiver<DuplexStream>,
}

/// Creates a connected dialer and listener.
pub fn pair() -> (MemoryDialer, MemoryListener) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (
        MemoryDialer {
            connections: sender,
        },
        MemoryListener {
            connections: receiver,
        },
    )
}

impl MemoryDialer {
    /// Opens a connection; fails with `ConnectionRefused` if the listener is gone.
    pub async fn dial(&self) -> io::Result<DuplexStream> {
        let (dialer_end, listener_end) = tokio::io::duplex(BUFFER);
        let refused = |_gone| io::Error::from(io::ErrorKind::ConnectionRefused);
        self.connections.send(listener_end).await.map_err(refused)?;
        Ok(dialer_end)
    }
}

impl Stream for MemoryListener {
    type Item = io::Result<DuplexStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections
            .poll_recv(cx)
            .map(|connection| connection.map(Ok))
    }
}

#[cfg(test)]
mod tests;
