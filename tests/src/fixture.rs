//! An upstream of our own on `rmcp`: it speaks both eras on one URL, offers everything that the
//! official conformance suite asks of a server, and counts what is really executed.

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

/// What kind of server to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Speak up to 2025-11-25 only.
    pub legacy_only: bool,
    /// Speak 2026-07-28 only.
    pub modern_only: bool,
    /// Answer as an event stream even where one JSON object would do.
    pub sse: bool,
    /// How many filler tools to add, for long lists.
    pub filler: usize,
    /// After how many seconds a legacy client may take a stream up again; none if it cannot.
    pub retry: Option<u64>,
}

/// Serves MCP at `/mcp` and what was executed so far at `/counts`, until the process ends.
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
