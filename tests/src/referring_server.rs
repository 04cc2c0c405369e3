//! A hostile server that refers to a URL in every place that the protocol has for one: redirects, the `endpoint` event of
//! HTTP+SSE, authentication challenges, schemas, icons and links. Its paths end with the number of the URL.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::loopback_server::LoopbackServer;

/// Paths of the server, each with its own place for the URL. The last one is a server that works.
pub const REFERENCES: [&str; 4] = ["redirect", "sse", "challenge", "mcp"];

/// Name of the tool of a server that works.
pub const REFERRING_TOOL: &str = "refer";

/// Statuses of redirects.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct ReferringServer(LoopbackServer);

type ReferredUrls = State<Arc<Vec<String>>>;

impl ReferringServer {
    /// Starts a server that refers to these URLs.
    pub async fn start(urls: Vec<String>) -> Result<Self> {
        let router = Router::new()
            .route("/redirect/{url}", any(redirect))
            .route("/sse/{url}", get(announce).post(not_allowed))
            .route("/challenge/{url}", any(challenge))
            .route("/mcp/{url}", any(refer))
            .with_state(Arc::new(urls));
        LoopbackServer::start(router).await.map(Self)
    }

    /// Endpoint that refers to the URL of this number in this place.
    #[must_use]
    pub fn url(&self, place: &str, number: usize) -> String {
        format!("http://{}/{place}/{number}", self.0.address())
    }
}

fn referred(State(urls): &ReferredUrls, number: usize) -> &str {
    urls.get(number).map_or("", String::as_str)
}

async fn redirect(urls: ReferredUrls, Path(number): Path<usize>) -> Response {
    let status = REDIRECTS[number % REDIRECTS.len()];
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    (status, [(header::LOCATION, ascii(referred(&urls, number)))]).into_response()
}

async fn announce(urls: ReferredUrls, Path(number): Path<usize>) -> Response {
    let event = format!("event: endpoint\ndata: {}\n\n", referred(&urls, number));
    ([(header::CONTENT_TYPE, "text/event-stream")], event).into_response()
}

async fn not_allowed() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

async fn challenge(urls: ReferredUrls, Path(number): Path<usize>) -> Response {
    let url = ascii(referred(&urls, number));
    let headers = [
        (
            header::WWW_AUTHENTICATE,
            format!("Bearer resource_metadata=\"{url}\", authorization_uri=\"{url}\""),
        ),
        (
            header::LINK,
            format!("<{url}>; rel=\"authorization_server\""),
        ),
        (header::LOCATION, url),
    ];
    (StatusCode::UNAUTHORIZED, headers).into_response()
}

/// URL as header values have it.
fn ascii(url: &str) -> String {
    let escape = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => {
            let mut bytes = [0; 4];
            let encoded = c.encode_utf8(&mut bytes).bytes();
            encoded.map(|byte| format!("%{byte:02X}")).collect()
        }
    };
    url.chars().map(escape).collect()
}

async fn refer(urls: ReferredUrls, Path(number): Path<usize>, body: Bytes) -> Response {
    let url = referred(&urls, number);
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    };
    let icons = json!([{"src": url, "mimeType": "image/png"}]);
    let identity = json!({"name": "referring", "version": "1", "websiteUrl": url, "icons": icons});
    let capabilities = json!({"tools": {}, "resources": {}});
    let result = match message.get("method").and_then(Value::as_str) {
        Some("server/discover") => json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": capabilities,
            "serverInfo": identity,
            "instructions": format!("Read {url} first."),
            "ttlMs": 0,
            "cacheScope": "private",
        }),
        Some("tools/list") => json!({
            "tools": [{
                "name": REFERRING_TOOL,
                "description": format!("see {url}"),
                "icons": icons,
                "inputSchema": {
                    "$schema": url, "$id": url, "type": "object",
                    "properties": {"a": {"$ref": url}, "b": {"$dynamicRef": format!("{url}#b")}},
                },
            }],
            "ttlMs": 0,
            "cacheScope": "private",
        }),
        Some("resources/list") => json!({
            "resources": [{"uri": url, "name": "page", "icons": icons}],
            "ttlMs": 0,
            "cacheScope": "private",
        }),
        Some("resources/templates/list") => json!({
            "resourceTemplates": [], "ttlMs": 0, "cacheScope": "private",
        }),
        Some("tools/call") => json!({
            "resultType": "complete",
            "content": [
                {"type": "text", "text": format!("see {url}")},
                {"type": "resource_link", "uri": url, "name": "page", "icons": icons},
                {"type": "resource", "resource": {"uri": url, "text": "page"}},
            ],
            "_meta": {"url": url},
        }),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, answer.to_string()).into_response()
}
