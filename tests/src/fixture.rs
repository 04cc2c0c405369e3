//! The fixture server, built on `rmcp`: it serves both eras on one URL, offers everything that the official conformance
//! suite requires of a server, and counts tool executions.

mod call;
mod client_requests;
mod content;
mod definitions;
mod input_rounds;
mod legacy_input_rounds;
mod server;
mod state;
mod task;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::routing::get;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

pub use state::ExecutionCounts;

use server::FixtureServer;
use state::FixtureState;

/// Options of the fixture server.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixtureOptions {
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
pub async fn serve(listener: TcpListener, options: FixtureOptions) -> anyhow::Result<()> {
    let state = Arc::new(FixtureState::new()?);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(!options.modern_only)
        .with_json_response(!options.sse);
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = options.retry.map(Duration::from_secs);
    let shared = Arc::clone(&state);
    let mcp = StreamableHttpService::new(
        move || Ok(FixtureServer::new(options, Arc::clone(&shared))),
        Arc::new(sessions),
        config,
    );
    let router = Router::new()
        .route("/counts", get(counts))
        .with_state(state);
    axum::serve(listener, router.route_service("/mcp", mcp)).await?;
    Ok(())
}

async fn counts(Shared(state): Shared<Arc<FixtureState>>) -> axum::Json<ExecutionCounts> {
    axum::Json(state.counts())
}
