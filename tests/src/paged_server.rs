//! A modern server with many tools, which it lists in small pages; each tool returns the name of its server.

use std::net::SocketAddr;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Tools per page, by default.
pub const PAGE_SIZE: usize = 7;

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct PagedServer {
    address: SocketAddr,
    _task: JoinSet<()>,
}

/// Tools of the server.
#[derive(Clone, Debug)]
struct PagedTools {
    name: String,
    tools: usize,
    page_size: usize,
    /// Description of every tool.
    description: String,
}

impl PagedServer {
    /// Starts a server on a free port with `tools` tools: `t0` and so on.
    pub async fn start(name: &str, tools: usize) -> Result<Self> {
        Self::start_with(name, tools, PAGE_SIZE, 0).await
    }

    /// Same as [`Self::start`], with `page_size` tools per page, each with a description of `bytes`.
    pub async fn start_with(
        name: &str,
        tools: usize,
        page_size: usize,
        bytes: usize,
    ) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let name = name.to_owned();
        let router = Router::new().route("/mcp", post(handle_request));
        let router = router.with_state(PagedTools {
            name,
            tools,
            page_size,
            description: "x".repeat(bytes),
        });
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "a server of many tools ended");
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

async fn handle_request(State(offer): State<PagedTools>, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let params = message.get("params").cloned().unwrap_or_default();
    let mut result = match message.get("method").and_then(Value::as_str) {
        Some("server/discover") => json!({"supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}}}),
        Some("tools/list") => offer.page(&params),
        Some("tools/call") => {
            let tool = params.get("name").and_then(Value::as_str);
            let text = format!("{} of {}", tool.unwrap_or_default(), offer.name);
            json!({"content": [{"type": "text", "text": text}]})
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    result["resultType"] = json!("complete");
    result["ttlMs"] = json!(1000);
    result["cacheScope"] = json!("private");
    let message = json!({"jsonrpc": "2.0", "id": message.get("id"), "result": result});
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, message.to_string()).into_response()
}

impl PagedTools {
    fn page(&self, params: &Value) -> Value {
        let cursor = params.get("cursor").and_then(Value::as_str);
        let from: usize = cursor.and_then(|at| at.parse().ok()).unwrap_or(0);
        let end = (from + self.page_size).min(self.tools);
        let tool = |n| {
            let mut tool = json!({"name": format!("t{n}"), "inputSchema": {"type": "object"}});
            if !self.description.is_empty() {
                tool["description"] = json!(self.description);
            }
            tool
        };
        let mut page = json!({"tools": (from..end).map(tool).collect::<Vec<_>>()});
        if end < self.tools {
            page["nextCursor"] = json!(end.to_string());
        }
        page
    }
}
