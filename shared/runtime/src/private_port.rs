//! The private port: liveness, readiness and metrics. Separate from the port that clients reach.

use std::io;

use axum::{
    Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::{drain::Drain, metrics::Metrics, readiness::Readiness};

#[derive(Clone)]
struct PrivatePortState {
    readiness: Readiness,
    metrics: Metrics,
    drain: Drain,
}

#[derive(Deserialize)]
struct ReadyzQuery {
    verbose: Option<String>,
}

/// Serves `/livez`, `/readyz` (with `?verbose`: what is pending, and the warnings), `/metrics` and the routes of `extra`. Continues while
/// the process drains and reports it as not ready; run it with [`Drain::spawn_unguarded`].
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    extra: Router,
    drain: Drain,
) -> io::Result<()> {
    axum::serve(listener, router(readiness, metrics, extra, drain)).await
}

fn router(readiness: Readiness, metrics: Metrics, extra: Router, drain: Drain) -> Router {
    let state = PrivatePortState {
        readiness,
        metrics,
        drain,
    };
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(state)
        .merge(extra)
}

async fn readyz(
    State(state): State<PrivatePortState>,
    Query(detail): Query<ReadyzQuery>,
) -> impl IntoResponse {
    let mut pending = state.readiness.pending();
    if state.drain.is_draining() {
        pending.push("draining".to_owned());
    }
    let mut warnings = String::new();
    if detail.verbose.is_some() {
        for warning in state.readiness.warnings() {
            warnings.push_str(&format!("warning: {}: {}\n", warning.subject, warning.text));
        }
    }
    if pending.is_empty() {
        return (StatusCode::OK, format!("ok\n{warnings}"));
    }
    let mut text = "not ready\n".to_owned();
    if detail.verbose.is_some() {
        for pending in pending {
            text.push_str(&format!("waiting for: {pending}\n"));
        }
        for blocker in state.drain.running() {
            text.push_str(&format!("running: {} ({})\n", blocker.name, blocker.count));
        }
        text.push_str(&warnings);
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn scrape(State(state): State<PrivatePortState>) -> impl IntoResponse {
    let text = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (text, state.metrics.render())
}

#[cfg(test)]
mod tests;
