//! A server with a valid handshake whose tools return far too many bytes: every tool floods in a different way while
//! the response is read.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Tools that flood; the name describes the kind of flood.
pub const FLOODS: &[&str] = &[
    "one_line",
    "no_newline",
    "many_lines",
    "one_id",
    "million_events",
    "million_comments",
    "ids_and_times",
    "document",
];

/// Tool with a valid response of the requested size.
pub const SIZED_TOOL: &str = "honest";

/// Size of a flood in bytes.
const FLOOD_BYTES: usize = 100_000_000;

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct OversizedServer {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl OversizedServer {
    /// Starts a server on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/mcp", post(handle_request));
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the torrent ended");
            }
        });
        Ok(Self {
            address,
            _task: task,
        })
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

async fn handle_request(body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let id = message.get("id").cloned().unwrap_or_default();
    match message.get("method").and_then(Value::as_str) {
        Some("server/discover") => StatusCode::NOT_FOUND.into_response(),
        Some("initialize") => result(
            &id,
            &json!({
                "protocolVersion": message.pointer("/params/protocolVersion"),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "torrent", "version": "1"},
            }),
        ),
        Some("tools/list") => result(&id, &listing()),
        Some("tools/call") => {
            let name = message.pointer("/params/name").and_then(Value::as_str);
            let bytes = message.pointer("/params/arguments/bytes");
            let bytes = bytes.and_then(Value::as_u64).unwrap_or(2);
            flood(
                name.unwrap_or_default(),
                &id,
                usize::try_from(bytes).unwrap_or_default(),
            )
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

fn result(id: &Value, result: &Value) -> Response {
    let message = json!({"jsonrpc": "2.0", "id": id, "result": result});
    typed("application/json", message.to_string())
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

fn listing() -> Value {
    let tools: Vec<Value> = FLOODS
        .iter()
        .chain([&SIZED_TOOL])
        .map(|name| json!({"name": name, "description": "Floods", "inputSchema": {"type": "object"}}))
        .collect();
    json!({"tools": tools})
}

fn flood(name: &str, id: &Value, bytes: usize) -> Response {
    let step = json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": "nobody's", "progress": 1}});
    let events = |first: &str, repeated: &str, times: usize| {
        typed("text/event-stream", repeating(first, repeated, times))
    };
    match name {
        SIZED_TOOL => {
            let text = "x".repeat(bytes);
            result(id, &json!({"content": [{"type": "text", "text": text}]}))
        }
        "one_line" => {
            let text = "x".repeat(FLOOD_BYTES / 100);
            events("data: ", &text, 100)
        }
        "no_newline" => events("", "no newline anywhere ", FLOOD_BYTES / 20),
        "many_lines" => events("", "data: not the last line\n", FLOOD_BYTES / 24),
        "one_id" => events("id: ", "one and the same id ", FLOOD_BYTES / 20),
        "million_events" => events("", &format!("data: {step}\n\n"), 1_000_000),
        "million_comments" => events("", ": one of many comments\n\n", 1_000_000),
        "ids_and_times" => events(
            "",
            "id: a\nretry: 1000000000000\n\nid:\nretry: 0\n\n",
            1_000_000,
        ),
        _ => typed(
            "application/json",
            repeating("[", "\"a document that never ends\",", FLOOD_BYTES / 30),
        ),
    }
}

/// Body of `first` followed by `times` repetitions of `repeated`, produced while it is read.
fn repeating(first: &str, repeated: &str, times: usize) -> Body {
    const TOGETHER: usize = 64 * 1024;
    let at_once = (TOGETHER / repeated.len()).clamp(1, times.max(1));
    let piece = Bytes::from(repeated.repeat(at_once));
    let first = Bytes::copy_from_slice(first.as_bytes());
    let pieces = std::iter::once(first).chain(std::iter::repeat_n(piece, times.div_ceil(at_once)));
    Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
}
