//! A modern server whose answers a test scripts. What all servers have in common is written here: the endpoint, the envelope
//! of a result and its members about caching.

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::loopback_server::LoopbackServer;

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct ScriptedServer(LoopbackServer);

/// Answer to a message.
#[derive(Debug)]
pub enum ScriptedAnswer {
    /// Result of a request; `resultType`, `ttlMs` and `cacheScope` are added if they are missing.
    Result(Value),
    /// Response in full.
    Response(Response),
    /// Response to a notification, or to a method that the server does not have.
    Accepted,
}

impl ScriptedServer {
    /// Starts a server on a free port that answers each message by `script`.
    pub async fn start<S, F>(script: S) -> Result<Self>
    where
        S: Fn(Value) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ScriptedAnswer> + Send + 'static,
    {
        let router = Router::new().route("/mcp", post(handle::<S, F>));
        LoopbackServer::start(router.with_state(script))
            .await
            .map(Self)
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }
}

async fn handle<S, F>(State(script): State<S>, body: Bytes) -> Response
where
    S: Fn(Value) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ScriptedAnswer> + Send + 'static,
{
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let id = message.get("id").cloned().unwrap_or_default();
    match script(message).await {
        ScriptedAnswer::Result(result) => result_response(&id, result),
        ScriptedAnswer::Response(response) => response,
        ScriptedAnswer::Accepted => StatusCode::ACCEPTED.into_response(),
    }
}

/// Response with this result, to which the members that every result has are added.
#[must_use]
pub fn result_response(id: &Value, mut result: Value) -> Response {
    let members = [
        ("resultType", json!("complete")),
        ("ttlMs", json!(1000)),
        ("cacheScope", json!("private")),
    ];
    if let Some(own) = result.as_object_mut() {
        for (name, value) in members {
            own.entry(name).or_insert(value);
        }
    }
    let message = json!({"jsonrpc": "2.0", "id": id, "result": result});
    typed("application/json", message.to_string())
}

/// Response with a body of this media type.
#[must_use]
pub fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// Result of `server/discover` of a server with these capabilities.
#[must_use]
pub fn discovered(capabilities: &Value) -> ScriptedAnswer {
    ScriptedAnswer::Result(json!({
        "supportedVersions": ["2026-07-28"],
        "capabilities": capabilities,
    }))
}

/// Method of a message; empty if it is missing.
#[must_use]
pub fn method(message: &Value) -> &str {
    message["method"].as_str().unwrap_or_default()
}
