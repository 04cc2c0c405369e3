//! A modern server that sends too many messages: its list changes with every read, and it announces that continuously
//! until it is stopped; its one tool sends a hundred thousand progress and log messages before its result.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::scripted_server::{ScriptedAnswer, ScriptedServer, discovered, method, typed};

/// Messages of one kind in a flood.
pub const MESSAGES: u64 = 100_000;

/// Padding of one tool in bytes, below the limit of a definition.
const MAX_PADDING: usize = 150_000;

/// Messages sent at once.
const MESSAGES_PER_WAVE: u64 = 100;

/// Delay between two waves: a flood lasts ten seconds.
const WAVE_INTERVAL: Duration = Duration::from_millis(10);

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct AnnouncementServer {
    server: ScriptedServer,
    counts: Arc<AnnouncementCounts>,
}

/// Counters of requests and announcements.
#[derive(Debug, Default)]
struct AnnouncementCounts {
    /// Bytes that the list has in addition.
    padding: usize,
    lists: AtomicU64,
    announced: AtomicU64,
    /// If set, the list changes only on [`AnnouncementServer::announce_change`].
    calm: AtomicBool,
    /// Number of announced changes.
    changes: AtomicU64,
}

impl AnnouncementServer {
    /// Starts a server on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_large(0).await
    }

    /// Starts a server whose list has this many bytes more.
    pub async fn start_large(padding: usize) -> Result<Self> {
        let counts = Arc::new(AnnouncementCounts {
            padding,
            ..AnnouncementCounts::default()
        });
        let shared = Arc::clone(&counts);
        let answer = move |message| std::future::ready(answer(&shared, &message));
        let server = ScriptedServer::start(answer).await?;
        Ok(Self { server, counts })
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Number of list reads.
    #[must_use]
    pub fn lists(&self) -> u64 {
        self.counts.lists.load(Ordering::Relaxed)
    }

    /// Stops changing and announcing the list, except on [`Self::announce_change`].
    pub fn stop_announcing(&self) {
        self.counts.calm.store(true, Ordering::Relaxed);
    }

    /// Changes the list once and announces that to subscribers.
    pub fn announce_change(&self) {
        self.counts.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of announcements that were read.
    #[must_use]
    pub fn announcements_sent(&self) -> u64 {
        self.counts.announced.load(Ordering::Relaxed)
    }
}

fn answer(counts: &Arc<AnnouncementCounts>, message: &Value) -> ScriptedAnswer {
    match method(message) {
        "server/discover" => discovered(&json!({"tools": {"listChanged": true}, "logging": {}})),
        "tools/list" => {
            let number = counts.lists.fetch_add(1, Ordering::Relaxed);
            let description = if counts.calm.load(Ordering::Relaxed) {
                format!("After change {}", counts.changes.load(Ordering::Relaxed))
            } else {
                format!("List {number}")
            };
            let tool = |name: &str, comment: &str| {
                json!({"name": name, "description": description,
                    "inputSchema": {"type": "object", "$comment": comment}})
            };
            let padding = vec![b'x'; counts.padding];
            let pieces = padding.chunks(MAX_PADDING).map(String::from_utf8_lossy);
            let fillers = pieces.enumerate();
            let fillers = fillers.map(|(number, text)| tool(&format!("filler-{number}"), &text));
            let tools: Vec<Value> = [tool("chatty", "")].into_iter().chain(fillers).collect();
            ScriptedAnswer::Result(json!({ "tools": tools }))
        }
        "subscriptions/listen" => {
            ScriptedAnswer::Response(announcement_stream(message, Arc::clone(counts)))
        }
        "tools/call" => ScriptedAnswer::Response(progress_and_log_stream(message)),
        _ => ScriptedAnswer::Accepted,
    }
}

fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

fn notification(method: &str, params: &Value) -> String {
    event(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// Streams `first`, then a wave every [`WAVE_INTERVAL`] (later if the reader is slow), then `last`.
fn streamed(
    first: String,
    wave: impl Fn(u64) -> String + Send + 'static,
    last: Option<String>,
) -> Response {
    let waves = stream::iter(0..MESSAGES / MESSAGES_PER_WAVE).then(move |number| {
        let all: String = (1..=MESSAGES_PER_WAVE)
            .map(|n| wave(number * MESSAGES_PER_WAVE + n))
            .collect();
        async move {
            tokio::time::sleep(WAVE_INTERVAL).await;
            all
        }
    });
    let all = stream::iter([first]).chain(waves).chain(stream::iter(last));
    let all = all.map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    typed("text/event-stream", Body::from_stream(all))
}

fn announcement_stream(message: &Value, counts: Arc<AnnouncementCounts>) -> Response {
    let filter = message
        .pointer("/params/notifications")
        .cloned()
        .unwrap_or_default();
    let agreed = notification(
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
        notification("notifications/tools/list_changed", &json!({}))
    };
    streamed(agreed, changed, None)
}

fn progress_and_log_stream(message: &Value) -> Response {
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
        notification("notifications/progress", &progress)
            + &notification("notifications/message", &log)
    };
    let content = json!([{"type": "text", "text": "done"}]);
    let result = json!({"resultType": "complete", "content": content});
    let id = message.get("id").cloned().unwrap_or_default();
    let last = event(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    streamed(": hello\n\n".to_owned(), both, Some(last))
}
