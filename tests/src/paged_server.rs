//! A modern server with many tools, which it lists in small pages; each tool returns the name of its server.

use anyhow::Result;
use serde_json::{Value, json};

use crate::scripted_server::{ScriptedAnswer, ScriptedServer, discovered, method};

/// Tools per page, by default.
pub const PAGE_SIZE: usize = 7;

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct PagedServer(ScriptedServer);

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
        let offer = PagedTools {
            name: name.to_owned(),
            tools,
            page_size,
            description: "x".repeat(bytes),
        };
        let answer = move |message| std::future::ready(offer.answer(&message));
        ScriptedServer::start(answer).await.map(Self)
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }
}

impl PagedTools {
    fn answer(&self, message: &Value) -> ScriptedAnswer {
        let params = &message["params"];
        match method(message) {
            "server/discover" => discovered(&json!({"tools": {}})),
            "tools/list" => ScriptedAnswer::Result(self.page(params)),
            "tools/call" => {
                let tool = params["name"].as_str().unwrap_or_default();
                let text = format!("{tool} of {}", self.name);
                ScriptedAnswer::Result(json!({"content": [{"type": "text", "text": text}]}))
            }
            _ => ScriptedAnswer::Accepted,
        }
    }

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
