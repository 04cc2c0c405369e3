//! A modern server that says far too much: its list is another one whenever it is read, and it announces that all the
//! time, until it is calmed; its one tool tells of its progress and logs a hundred thousand times before it answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream::{self, StreamExt as _};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Messages of one kind that one flood has.
pub const MESSAGES: u64 = 100_000;

/// How many of them come at once.
const WAVE: u64 = 100;

/// Between two waves: all of them take ten seconds.
const PAUSE: Duration = Duration::from_millis(10);

/// The running server; it ends when dropped.
#[derive(Debug)]
pub struct Flood {
    address: SocketAddr,
    counts: Arc<Counts>,
    _task: JoinSet<()>,
}

/// What it has been asked and has said.
#[derive(Debug, Default)]
struct Counts {
    lists: AtomicU64,
    announced: AtomicU64,
    /// Whether its list changes only when it is told to.
    calm: AtomicBool,
    /// How often it was told to.
    changes: AtomicU64,
}

impl Flood {
    /// Starts one on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let router = Router::new().route("/mcp", post(speak));
        let router = router.with_state(Arc::clone(&counts));
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the flood ended");
            }
        });
        Ok(Self {
            address,
            counts,
            _task: task,
        })
    }

    /// Its MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// How often its list was read.
    #[must_use]
    pub fn lists(&self) -> u64 {
        self.counts.lists.load(Ordering::Relaxed)
    }

    /// Its list changes no more, and it says nothing of it, but for [`Self::change`].
    pub fn calm(&self) {
        self.counts.calm.store(true, Ordering::Relaxed);
    }

    /// Its list changes once, and it says so to whoever listens.
    pub fn change(&self) {
        self.counts.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How often somebody took its word that it had changed.
    #[must_use]
    pub fn announced(&self) -> u64 {
        self.counts.announced.load(Ordering::Relaxed)
    }
}

async fn speak(State(counts): State<Arc<Counts>>, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let id = message.get("id").cloned().unwrap_or_default();
    let result = match message.get("method").and_then(Value::as_str) {
        Some("server/discover") => json!({"supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {"listChanged": true}, "logging": {}}}),
        Some("tools/list") => {
            let number = counts.lists.fetch_add(1, Ordering::Relaxed);
            let description = if counts.calm.load(Ordering::Relaxed) {
                format!("After change {}", counts.changes.load(Ordering::Relaxed))
            } else {
                format!("List {number}")
            };
            json!({"tools": [{"name": "chatty", "description": description,
                "inputSchema": {"type": "object"}}]})
        }
        Some("subscriptions/listen") => return announcements(&message, counts),
        Some("tools/call") => return chatter(&message),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    let mut result = result;
    for (name, value) in [
        ("resultType", json!("complete")),
        ("ttlMs", json!(1000)),
        ("cacheScope", json!("private")),
    ] {
        result[name] = value;
    }
    let message = json!({"jsonrpc": "2.0", "id": id, "result": result});
    typed("application/json", message.to_string())
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

fn notice(method: &str, params: &Value) -> String {
    event(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// First `first`, then a wave every [`PAUSE`], or later if nobody reads, and `last`.
fn streamed(
    first: String,
    wave: impl Fn(u64) -> String + Send + 'static,
    last: Option<String>,
) -> Response {
    let waves = stream::iter(0..MESSAGES / WAVE).then(move |number| {
        let all: String = (1..=WAVE).map(|n| wave(number * WAVE + n)).collect();
        async move {
            tokio::time::sleep(PAUSE).await;
            all
        }
    });
    let all = stream::iter([first]).chain(waves).chain(stream::iter(last));
    let all = all.map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    typed("text/event-stream", Body::from_stream(all))
}

fn announcements(message: &Value, counts: Arc<Counts>) -> Response {
    let filter = message
        .pointer("/params/notifications")
        .cloned()
        .unwrap_or_default();
    let agreed = notice(
        "notifications/subscriptions/acknowledged",
        &json!({"notifications": filter}),
    );
    let told = AtomicU64::new(counts.changes.load(Ordering::Relaxed));
    let changed = move |_number| {
        let changes = counts.changes.load(Ordering::Relaxed);
        let news = told.swap(changes, Ordering::Relaxed) != changes;
        if counts.calm.load(Ordering::Relaxed) && !news {
            return String::new();
        }
        counts.announced.fetch_add(1, Ordering::Relaxed);
        notice("notifications/tools/list_changed", &json!({}))
    };
    streamed(agreed, changed, None)
}

fn chatter(message: &Value) -> Response {
    let token = message
        .pointer("/params/_meta/progressToken")
        .cloned()
        .unwrap_or_default();
    let both = move |number: u64| {
        let progress = json!({"progressToken": token, "progress": number, "total": MESSAGES});
        let level = if number == MESSAGES / 2 {
            "error"
        } else {
            "info"
        };
        let log = json!({"level": level, "logger": "flood", "data": number});
        notice("notifications/progress", &progress) + &notice("notifications/message", &log)
    };
    let content = json!([{"type": "text", "text": "done"}]);
    let result = json!({"resultType": "complete", "content": content});
    let id = message.get("id").cloned().unwrap_or_default();
    let last = event(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    streamed(": hello\n\n".to_owned(), both, Some(last))
}
