//! A scripted MCP server on loopback, for tests. Its responses are those of the script, valid or not.

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use toolgate_runtime::drain::Drain;

/// Request as seen by the script.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// HTTP method: POST, GET or DELETE.
    pub method: Method,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// JSON-RPC message; null if there is none.
    pub message: Value,
}

/// Response of the script.
pub type ScriptedResponse = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Sender of a stream's events.
pub type EventSender = mpsc::Sender<Bytes>;

impl RecordedRequest {
    /// Returns the JSON-RPC method.
    pub fn rpc_method(&self) -> &str {
        self.message["method"].as_str().unwrap_or("")
    }

    /// Returns a header as text.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// Starts a server that responds as `script` says; returns its URL.
pub async fn start<S>(drain: &Drain, script: S) -> io::Result<String>
where
    S: Fn(RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let script = Arc::new(script);
    let connections = drain.clone();
    let draining = drain.draining();
    drain.spawn("stand-in", async move {
        tokio::pin!(draining);
        loop {
            let stream = tokio::select! {
                () = &mut draining => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = stream else { return };
            let script = Arc::clone(&script);
            let service = service_fn(move |request| answer(Arc::clone(&script), request));
            connections.spawn_unguarded(async move {
                let server = hyper::server::conn::http1::Builder::new();
                let _ended = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(url)
}

async fn answer<S>(
    script: Arc<S>,
    request: http::Request<Incoming>,
) -> Result<ScriptedResponse, hyper::Error>
where
    S: Fn(RecordedRequest) -> ScriptedResponse,
{
    let (head, mut body) = request.into_parts();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            all.extend_from_slice(&piece);
        }
    }
    Ok(script(RecordedRequest {
        method: head.method,
        headers: head.headers,
        message: serde_json::from_slice(&all).unwrap_or_default(),
    }))
}

/// Returns a response with this status, media type and body.
pub fn reply(status: u16, media: &'static str, body: impl Into<Bytes>) -> ScriptedResponse {
    let body = http_body_util::Full::new(body.into()).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let media = http::HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Returns a JSON response.
pub fn json_reply(status: u16, value: &Value) -> ScriptedResponse {
    reply(status, "application/json", value.to_string())
}

/// Returns the result of the request.
pub fn result(seen: &RecordedRequest, result: &Value) -> ScriptedResponse {
    let id = &seen.message["id"];
    json_reply(
        200,
        &json!({ "jsonrpc": "2.0", "id": id, "result": result }),
    )
}

/// Returns an error response to the request.
pub fn error(status: u16, seen: &RecordedRequest, code: i64, data: &Value) -> ScriptedResponse {
    let id = &seen.message["id"];
    let error = json!({ "code": code, "message": "no", "data": data });
    json_reply(
        status,
        &json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    )
}

/// Returns 202 Accepted without content.
pub fn accepted() -> ScriptedResponse {
    reply(202, "text/plain", "")
}

/// Returns an event stream with its sender; it ends when the sender is dropped.
pub fn stream() -> (EventSender, ScriptedResponse) {
    let (events, receiver) = mpsc::channel::<Bytes>(64);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok(Frame::data(piece)), receiver))
    });
    let mut response = Response::new(StreamBody::new(pieces.boxed()).boxed_unsync());
    let media = http::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    (events, response)
}

/// Returns one event with this message.
pub fn event(message: &Value) -> Bytes {
    toolgate_mcp::sse::event(message.to_string().as_bytes())
}

/// Adds a session id.
pub fn with_session(mut response: ScriptedResponse, id: &'static str) -> ScriptedResponse {
    let id = http::HeaderValue::from_static(id);
    let name = toolgate_mcp::headers::SESSION;
    response.headers_mut().insert(name, id);
    response
}

/// Returns a valid legacy result of `initialize`, with tools and `listChanged`.
pub fn initialized(seen: &RecordedRequest) -> ScriptedResponse {
    let version = &seen.message["params"]["protocolVersion"];
    result(
        seen,
        &json!({
            "protocolVersion": version,
            "capabilities": { "tools": { "listChanged": true } },
            "serverInfo": { "name": "stand-in", "version": "1" },
            "instructions": "be kind",
        }),
    )
}

/// Returns a valid modern result of `server/discover`, with tools and `listChanged`.
pub fn discovered(seen: &RecordedRequest) -> ScriptedResponse {
    discovered_with_versions(seen, &["2026-07-28", "2025-11-25"])
}

/// Returns the result of [`discovered`] with these versions.
pub fn discovered_with_versions(seen: &RecordedRequest, versions: &[&str]) -> ScriptedResponse {
    result(
        seen,
        &json!({
            "supportedVersions": versions,
            "capabilities": { "tools": { "listChanged": true } },
            "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "stand-in", "version": "2" } },
        }),
    )
}

/// Returns a tool of this name.
pub fn tool(name: &str) -> Value {
    json!({ "name": name, "description": "does it", "inputSchema": { "type": "object" } })
}
