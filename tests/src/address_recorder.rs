//! An HTTP server at every address of a private network. It records the addresses at which connections arrive.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::private_network;

/// Response to every request, which ends its connection.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct AddressRecorder {
    port: u16,
    arrived: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    _task: JoinSet<()>,
}

impl AddressRecorder {
    /// Starts the server on a free port.
    pub async fn start() -> Result<Self> {
        // Accepts IPv4 connections too.
        let all: IpAddr = if private_network::has_ipv6() {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let listener = TcpListener::bind((all, 0)).await?;
        let port = listener.local_addr()?.port();
        let arrived = Arc::<Mutex<BTreeMap<IpAddr, usize>>>::default();
        let shared = Arc::clone(&arrived);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(local) = stream.local_addr() {
                    let address = local.ip().to_canonical();
                    let mut arrived = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    *arrived.entry(address).or_default() += 1;
                }
                connections.spawn(serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            port,
            arrived,
            _task: task,
        })
    }

    /// Port, the same at all addresses.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of connections so far by the address at which they arrived. An IPv4 address that a client wrote as an IPv6
    /// address is an IPv4 address here.
    #[must_use]
    pub fn arrived(&self) -> BTreeMap<IpAddr, usize> {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets the connections so far.
    pub fn reset(&self) {
        self.arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Reads the head of one request, and answers it.
async fn serve(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => head.extend_from_slice(&piece[..length]),
        }
    }
    let _written = stream.write_all(RESPONSE).await;
    let _ended = stream.shutdown().await;
}
