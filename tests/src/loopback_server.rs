//! Servers of the scenarios on free ports of loopback. Each ends, with its connections, when its value is dropped.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct LoopbackServer {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl LoopbackServer {
    /// Starts an HTTP server on a free port.
    pub async fn start(router: Router) -> Result<Self> {
        let (listener, address) = listen().await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, %address, "a server of the test ended");
            }
        });
        Ok(Self {
            address,
            _task: task,
        })
    }

    /// Starts a server on a free port that passes each connection to `serve`.
    pub async fn accept<S, F>(serve: S) -> Result<Self>
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (listener, address) = listen().await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            _task: task,
        })
    }

    /// Address that the server listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
