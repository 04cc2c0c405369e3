//! A server with a valid handshake whose tools each return a different kind of invalid response.

use std::time::Duration;

use anyhow::Result;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::scripted_server::{
    ScriptedAnswer, ScriptedServer, discovered, method, result_response, typed,
};

/// Tools with invalid responses; the name describes the fault.
pub const INVALID_TOOLS: &[&str] = &[
    "html",
    "not_json",
    "wrong_id",
    "no_result",
    "both",
    "array",
    "truncated",
    "hangs_up",
    "silent",
    "redirect",
    "unauthorized",
    "server_error",
    "endless_event",
    "wrong_type",
    "deep",
];

/// Tool with a valid response, to check that the server is alive.
pub const VALID_TOOL: &str = "truth";

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct InvalidServer(ScriptedServer);

impl InvalidServer {
    /// Starts a server on a free port.
    pub async fn start() -> Result<Self> {
        ScriptedServer::start(answer).await.map(Self)
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }
}

async fn answer(message: Value) -> ScriptedAnswer {
    match method(&message) {
        "server/discover" => discovered(&json!({"tools": {}})),
        "tools/list" => ScriptedAnswer::Result(listing()),
        "tools/call" => {
            let name = message["params"]["name"].as_str().unwrap_or_default();
            ScriptedAnswer::Response(invalid_response(name, &message["id"]).await)
        }
        _ => ScriptedAnswer::Accepted,
    }
}

fn listing() -> Value {
    let tools: Vec<Value> = INVALID_TOOLS
        .iter()
        .chain([&VALID_TOOL])
        .map(|name| json!({"name": name, "description": "Lies", "inputSchema": {"type": "object"}}))
        .collect();
    json!({ "tools": tools })
}

async fn invalid_response(name: &str, id: &Value) -> Response {
    let content = json!([{"type": "text", "text": "a secret-of-the-server"}]);
    let result = json!({"resultType": "complete", "content": content});
    let text = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    match name {
        VALID_TOOL => result_response(id, result),
        "html" => typed("text/html", "<h1>secret-of-the-server</h1>"),
        "not_json" => typed("application/json", "secret-of-the-server"),
        "wrong_id" => result_response(&json!("secret-of-the-server"), result),
        "no_result" => typed(
            "application/json",
            format!(r#"{{"jsonrpc":"2.0","id":{id}}}"#),
        ),
        "both" => {
            let both = json!({"jsonrpc": "2.0", "id": id, "result": result,
                "error": {"code": -1, "message": "secret-of-the-server"}});
            typed("application/json", both.to_string())
        }
        "array" => typed("application/json", format!("[{text}]")),
        "truncated" => typed(
            "application/json",
            text.get(..text.len() / 2).unwrap_or("").to_owned(),
        ),
        "hangs_up" => broken_body(),
        "silent" => {
            tokio::time::sleep(Duration::from_secs(120)).await;
            StatusCode::OK.into_response()
        }
        "redirect" => {
            let away = [(header::LOCATION, "http://127.0.0.1:1/secret-of-the-server")];
            (StatusCode::TEMPORARY_REDIRECT, away).into_response()
        }
        "unauthorized" => {
            let asks = [(
                header::WWW_AUTHENTICATE,
                "Bearer realm=\"secret-of-the-server\"",
            )];
            (StatusCode::UNAUTHORIZED, asks, "secret-of-the-server").into_response()
        }
        "server_error" => {
            (StatusCode::INTERNAL_SERVER_ERROR, "secret-of-the-server").into_response()
        }
        "endless_event" => typed(
            "text/event-stream",
            format!("data: {}", "x".repeat(40 << 20)),
        ),
        "wrong_type" => typed("application/octet-stream", text),
        _ => {
            let (open, close) = ("[".repeat(2000), "]".repeat(2000));
            let deep = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{open}{close}}}"#);
            typed("application/json", deep)
        }
    }
}

/// Body that breaks off in the middle.
fn broken_body() -> Response {
    let broken: Vec<std::io::Result<Bytes>> = vec![
        Ok(Bytes::from_static(br#"{"jsonrpc":"2.0","#)),
        Err(std::io::Error::other("hangs up")),
    ];
    typed(
        "application/json",
        Body::from_stream(futures_util::stream::iter(broken)),
    )
}
