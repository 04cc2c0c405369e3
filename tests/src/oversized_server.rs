//! A server with a valid handshake whose tools return far too many bytes: every tool floods in a different way while
//! the response is read.

use std::convert::Infallible;
use std::future::ready;

use anyhow::Result;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::StatusCode;
use serde_json::{Value, json};

use crate::scripted_server::{ScriptedAnswer, ScriptedServer, method, typed};

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
pub struct OversizedServer(ScriptedServer);

impl OversizedServer {
    /// Starts a server on a free port.
    pub async fn start() -> Result<Self> {
        ScriptedServer::start(|message| ready(answer(&message)))
            .await
            .map(Self)
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }
}

fn answer(message: &Value) -> ScriptedAnswer {
    let id = &message["id"];
    ScriptedAnswer::Response(match method(message) {
        "server/discover" => StatusCode::NOT_FOUND.into_response(),
        "initialize" => result(
            id,
            &json!({
                "protocolVersion": message.pointer("/params/protocolVersion"),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "torrent", "version": "1"},
            }),
        ),
        "tools/list" => result(id, &listing()),
        "tools/call" => {
            let params = &message["params"];
            let bytes = params["arguments"]["bytes"].as_u64().unwrap_or(2);
            flood(
                params["name"].as_str().unwrap_or_default(),
                id,
                usize::try_from(bytes).unwrap_or_default(),
            )
        }
        _ => return ScriptedAnswer::Accepted,
    })
}

fn result(id: &Value, result: &Value) -> Response {
    let message = json!({"jsonrpc": "2.0", "id": id, "result": result});
    typed("application/json", message.to_string())
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
