//! Demo server: a small MCP server on a loopback port inside `toolgate up`, so that the first tool call needs
//! nothing else. It supports both eras and keeps no sessions.

mod endpoint;
mod slow;
mod tool;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use axum::{Router, routing::post};
use tokio::net::TcpListener;
use toolgate_runtime::{SharedClock, drain::Drain};

/// Path of the endpoint.
pub const PATH: &str = "/mcp";

/// Starts the server on a free loopback port and returns its URL.
pub async fn start(clock: SharedClock, drain: &Drain) -> anyhow::Result<String> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any)
        .await
        .context("cannot open a port for the demo server")?;
    let address = listener.local_addr()?;
    let draining = drain.draining();
    let router = router(clock);
    drain.spawn("demo server", async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(draining)
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the demo server stopped");
        }
    });
    Ok(format!("http://{address}{PATH}"))
}

fn router(clock: SharedClock) -> Router {
    Router::new()
        .route(PATH, post(endpoint::receive))
        .with_state(endpoint::DemoServer::new(clock))
}

#[cfg(test)]
mod tests;
