//! The fixture server, built on `rmcp`: it serves both eras on one URL, offers everything that the official conformance
//! suite requires of a server, and counts tool executions.

mod call;
mod catalogue;
mod content;
mod dialogue;
mod rounds;
mod server;
mod state;
mod still;
mod task;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::routing::get;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

pub use state::Counts;

use server::Server;
use state::State;

/// Options of the fixture server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Serve versions up to 2025-11-25 only.
    pub legacy_only: bool,
    /// Serve 2026-07-28 only.
    pub modern_only: bool,
    /// Respond with an event stream even where a JSON object is enough.
    pub sse: bool,
    /// Number of filler tools, for long lists.
    pub filler: usize,
    /// Seconds until a legacy client may resume a stream; `None` disables resumption.
    pub retry: Option<u64>,
}

/// Serves MCP at `/mcp` and the execution counts at `/counts`, until the process ends.
pub async fn serve(listener: TcpListener, options: Options) -> anyhow::Result<()> {
    let state = Arc::new(State::new()?);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(!options.modern_only)
        .with_json_response(!options.sse);
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = options.retry.map(Duration::from_secs);
    let shared = Arc::clone(&state);
    let mcp = StreamableHttpService::new(
        move || Ok(Server::new(options, Arc::clone(&shared))),
        Arc::new(sessions),
        config,
    );
    let router = Router::new()
        .route("/counts", get(counts))
        .with_state(state);
    axum::serve(listener, router.route_service("/mcp", mcp)).await?;
    Ok(())
}

async fn counts(Shared(state): Shared<Arc<State>>) -> axum::Json<Counts> {
    axum::Json(state.counts())
}
