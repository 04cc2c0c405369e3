//! A legacy server with the oddities of real ones, all at once: it denies what is not `initialize` before a session, refuses
//! the newest version instead of selecting another, declares no capabilities, compresses its answers although it is asked
//! not to, and turns away requests that do not name their software.

use anyhow::Result;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::loopback_server::LoopbackServer;

/// Version that the server accepts.
pub const ACCEPTED_VERSION: &str = "2025-03-26";

/// Text of each answer. The tool `surrogate` adds an unpaired surrogate.
pub const TEXT: &str = "odd, but an answer";

/// Tools; the name describes the answer.
pub const ODD_TOOLS: &[&str] = &[
    "gzip",
    "deflate",
    "br",
    "zstd",
    "server_error",
    "unavailable",
    "nulls",
    "surrogate",
];

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct OddServer(LoopbackServer);

impl OddServer {
    /// Starts a server on a free port.
    pub async fn start() -> Result<Self> {
        let router = Router::new().route("/mcp", post(handle_request));
        LoopbackServer::start(router).await.map(Self)
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }
}

async fn handle_request(headers: HeaderMap, body: Bytes) -> Response {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let named = value(header::USER_AGENT).is_some_and(|agent| agent.starts_with("toolgate/"));
    let identity = value(header::ACCEPT_ENCODING) == Some("identity");
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if !named || !identity {
        return (StatusCode::FORBIDDEN, "<h1>Forbidden</h1>").into_response();
    }
    let id = message.get("id").cloned().unwrap_or_default();
    let text = |member| message.pointer(member).and_then(Value::as_str);
    match text("/method") {
        Some("initialize") if text("/params/protocolVersion") != Some(ACCEPTED_VERSION) => {
            let error = json!({"code": -32602, "message": "Unsupported protocol version"});
            let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
            json_response(StatusCode::BAD_REQUEST, answer.to_string())
        }
        Some("initialize") => {
            let server = json!({"name": "odd", "version": null});
            let result = json!({"protocolVersion": ACCEPTED_VERSION, "capabilities": {},
                "serverInfo": server, "instructions": null, "_meta": null});
            result_response(StatusCode::OK, &id, &result)
        }
        Some("notifications/initialized") => StatusCode::ACCEPTED.into_response(),
        Some("tools/list") => {
            let tool = |name: &&str| json!({"name": name, "title": null, "inputSchema": {}});
            let tools: Vec<Value> = ODD_TOOLS.iter().map(tool).collect();
            result_response(
                StatusCode::OK,
                &id,
                &json!({"tools": tools, "nextCursor": null}),
            )
        }
        Some("tools/call") => answer(text("/params/name").unwrap_or_default(), &id).await,
        Some("prompts/list" | "resources/list" | "resources/templates/list") => {
            let error = json!({"code": -32601, "message": "Method not found"});
            let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
            json_response(StatusCode::OK, answer.to_string())
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

fn json_response(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.into()).into_response()
}

fn result_response(status: StatusCode, id: &Value, result: &Value) -> Response {
    let message = json!({"jsonrpc": "2.0", "id": id, "result": result});
    json_response(status, message.to_string())
}

async fn answer(tool: &str, id: &Value) -> Response {
    let result = json!({"content": [{"type": "text", "text": TEXT}]});
    let plain = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    match tool {
        "server_error" => json_response(StatusCode::INTERNAL_SERVER_ERROR, plain),
        "unavailable" => json_response(StatusCode::SERVICE_UNAVAILABLE, plain),
        "surrogate" => json_response(
            StatusCode::OK,
            plain.replace(TEXT, &format!("{TEXT} \\ud83d")),
        ),
        "nulls" => {
            let mut result = result;
            for name in ["_meta", "isError", "structuredContent"] {
                result[name] = Value::Null;
            }
            result_response(StatusCode::OK, id, &result)
        }
        coding => match encoded(coding, plain.as_bytes()).await {
            Ok(body) => {
                let head = [
                    (header::CONTENT_TYPE, "application/json"),
                    (header::CONTENT_ENCODING, coding),
                ];
                (head, body).into_response()
            }
            Err(_unknown) => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

async fn encoded(coding: &str, text: &[u8]) -> std::io::Result<Vec<u8>> {
    macro_rules! encode {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(text).await?;
            encoder.shutdown().await?;
            Ok(encoder.into_inner())
        }};
    }
    match coding {
        "gzip" => encode!(GzipEncoder),
        "deflate" => encode!(ZlibEncoder),
        "br" => encode!(BrotliEncoder),
        "zstd" => encode!(ZstdEncoder),
        _ => Err(std::io::ErrorKind::Unsupported.into()),
    }
}
