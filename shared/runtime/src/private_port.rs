//! The private port: liveness, readiness and metrics. Separate from the port that clients reach.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    http::{Extensions, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Deserialize;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    connection::{
        ConnectionLimiter, ConnectionLimits, RouterOptions, accept, is_http2, serve_router,
    },
    drain::Drain,
    hosts::HostPolicy,
    liveness::Liveness,
    metrics::Metrics,
    readiness::Readiness,
};

/// Maximum number of connections.
const MAX_CONNECTIONS: usize = 512;
/// Maximum number of connections of one address.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 128;
/// Maximum number of concurrent requests on one connection.
const MAX_STREAMS: u32 = 16;
/// Maximum size of the headers of a request, in bytes.
const MAX_HEADERS: u32 = 16 * 1024;

#[derive(Clone)]
struct PrivatePortState {
    readiness: Readiness,
    liveness: Liveness,
    metrics: Metrics,
    drain: Drain,
}

#[derive(Deserialize)]
struct ReadyzQuery {
    verbose: Option<String>,
}

/// Serves `/livez`, `/readyz` (with `?verbose`: what is pending, and the warnings), `/metrics` and the routes of `extra` to requests for these hosts. Continues while
/// the process drains and reports it as not ready; run it with [`Drain::spawn_unguarded`].
pub async fn serve(
    listener: TcpListener,
    (readiness, liveness): (Readiness, Liveness),
    metrics: Metrics,
    extra: Router,
    hosts: HostPolicy,
    drain: Drain,
) {
    let router = router((readiness, liveness), metrics, extra, drain.clone());
    let options = Arc::new(options(hosts));
    let limiter = ConnectionLimiter::new(&options.limits);
    accept(
        &listener,
        "private port",
        &limiter,
        |stream, _peer, permit| {
            let (router, options) = (router.clone(), Arc::clone(&options));
            let serving = async move {
                let _permit = permit;
                let protocol = timeout(options.limits.head_timeout, is_http2(&stream)).await;
                if let Ok(Ok(multiplexed)) = protocol {
                    let extensions = Extensions::default();
                    let options = options.at(stream.local_addr());
                    serve_router(stream, multiplexed, router, extensions, &options, None).await;
                }
            };
            Some(drain.spawn_unguarded(serving).abort_handle())
        },
    )
    .await;
}

fn options(hosts: HostPolicy) -> RouterOptions {
    RouterOptions {
        name: "private port",
        limits: ConnectionLimits {
            connections: MAX_CONNECTIONS,
            connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            ..ConnectionLimits::default()
        },
        streams: MAX_STREAMS,
        header_bytes: MAX_HEADERS,
        hosts: Some(hosts),
        grace: Duration::ZERO,
    }
}

fn router(
    (readiness, liveness): (Readiness, Liveness),
    metrics: Metrics,
    extra: Router,
    drain: Drain,
) -> Router {
    let state = PrivatePortState {
        readiness,
        liveness,
        metrics,
        drain,
    };
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(state)
        .merge(extra)
}

async fn livez(State(state): State<PrivatePortState>) -> impl IntoResponse {
    if state.liveness.is_alive() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut text = "not alive: restart the process\n".to_owned();
    for blocked in state.liveness.blocked() {
        let seconds = blocked.silence.as_secs();
        text.push_str(&format!(
            "{} has not responded for {seconds} s\n",
            blocked.name
        ));
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
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
