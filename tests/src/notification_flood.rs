//! A server that answers correctly and in addition sends a given text ten thousand times a second, each time as a chunk
//! of its own: on long-lived streams, or before the result of a call. It writes plain bytes, so that it costs little
//! and only a slow reader limits it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use crate::clock::HANG_GUARD;
use crate::loopback_server::LoopbackServer;

/// Messages per second.
pub const RATE: u64 = 10_000;

/// Delay between two waves: the timer resolution.
const TICK: Duration = Duration::from_millis(1);

/// Responses queued for the stream of an HTTP+SSE server (2024-11-05 transport).
const MAX_QUEUED_RESPONSES: usize = 64;

/// Transport of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloodTransport {
    /// 2026-07-28.
    Modern,
    /// 2025-11-25, in a session with its own stream.
    Legacy,
    /// 2024-11-05 (HTTP+SSE): everything on one stream.
    HttpSse,
}

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct NotificationFlood {
    server: LoopbackServer,
    shared: Arc<NotificationFloodState>,
}

#[derive(Debug)]
struct NotificationFloodState {
    transport: FloodTransport,
    /// Text sent on long-lived streams.
    flood_text: Mutex<Option<Arc<str>>>,
    sent: AtomicU64,
    /// Number of long-lived streams opened so far.
    streams: AtomicU64,
    /// Responses for the stream of the HTTP+SSE transport.
    answers: Mutex<Option<mpsc::Sender<String>>>,
}

/// HTTP request.
struct ReceivedRequest {
    method: String,
    message: Value,
}

impl NotificationFlood {
    /// Starts a server on a free port.
    pub async fn start(manner: FloodTransport) -> Result<Self> {
        let shared = Arc::new(NotificationFloodState {
            transport: manner,
            flood_text: Mutex::default(),
            sent: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            answers: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let server = LoopbackServer::accept(move |stream| {
            let shared = Arc::clone(&serving);
            async move {
                if let Err(error) = shared.serve(stream).await {
                    tracing::debug!(%error, "a connection of the hose ended");
                }
            }
        });
        Ok(Self {
            server: server.await?,
            shared,
        })
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Sends this text on all long-lived streams from now on; `None` stops.
    pub fn set_flood(&self, text: Option<&str>) {
        *lock(&self.shared.flood_text) = text.map(Arc::from);
    }

    /// Number of unsolicited messages sent.
    #[must_use]
    pub fn messages_sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Number of long-lived streams opened so far.
    #[must_use]
    pub fn streams_opened(&self) -> u64 {
        self.shared.streams.load(Ordering::Relaxed)
    }
}

/// Notification as an SSE event.
#[must_use]
pub fn notification_event(method: &str, params: &Value) -> String {
    let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
    format!("data: {message}\n\n")
}

impl NotificationFloodState {
    async fn serve(self: Arc<Self>, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        while let Some(ReceivedRequest { method, message }) = read(&mut stream).await? {
            let name = message.get("method").and_then(Value::as_str);
            match (method.as_str(), name) {
                ("GET", _) if self.transport != FloodTransport::Modern => {
                    return self.serve_long_lived_stream(stream).await;
                }
                ("POST", Some("subscriptions/listen")) => {
                    let filter = message.pointer("/params/notifications");
                    begin_event_stream(&mut stream).await?;
                    let agreed = json!({"notifications": filter});
                    let agreed =
                        notification_event("notifications/subscriptions/acknowledged", &agreed);
                    write_chunk(&mut stream, &agreed).await?;
                    return self.write_flood(&mut stream, None).await;
                }
                ("POST", Some("tools/call")) if flood_arguments(&message).is_some() => {
                    return self.flood_call(stream, &message).await;
                }
                ("POST", Some(name)) => self.answer(&mut stream, name, &message).await?,
                _ => write_response(&mut stream, "405 Method Not Allowed", "").await?,
            }
        }
        Ok(())
    }

    /// Serves a long-lived stream.
    async fn serve_long_lived_stream(&self, mut stream: BufReader<TcpStream>) -> Result<()> {
        begin_event_stream(&mut stream).await?;
        let (sender, mut answers) = mpsc::channel(MAX_QUEUED_RESPONSES);
        if self.transport == FloodTransport::HttpSse {
            write_chunk(&mut stream, "event: endpoint\ndata: /mcp\n\n").await?;
            *lock(&self.answers) = Some(sender);
            return self.write_flood(&mut stream, Some(&mut answers)).await;
        }
        self.write_flood(&mut stream, None).await
    }

    /// Writes the flood text, and queued responses in between.
    async fn write_flood(
        &self,
        stream: &mut BufReader<TcpStream>,
        mut answers: Option<&mut mpsc::Receiver<String>>,
    ) -> Result<()> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            if let Some(answers) = &mut answers {
                while let Ok(answer) = answers.try_recv() {
                    write_chunk(stream, &answer).await?;
                }
            }
            let text = lock(&self.flood_text).clone();
            let Some(text) = text else { continue };
            for _ in 0..RATE / 1_000 {
                self.sent.fetch_add(1, Ordering::Relaxed);
                write_chunk(stream, &text).await?;
            }
        }
    }

    /// Writes the text of the call for the given number of seconds, then the result.
    async fn flood_call(&self, mut stream: BufReader<TcpStream>, message: &Value) -> Result<()> {
        let (text, seconds) = flood_arguments(message).context("nothing to say")?;
        let token = message.pointer("/params/_meta/progressToken");
        let token = token.cloned().unwrap_or_default().to_string();
        begin_event_stream(&mut stream).await?;
        let mut ticks = interval(TICK);
        let mut number = 0;
        for _ in 0..seconds * 1_000 {
            ticks.tick().await;
            for _ in 0..RATE / 1_000 {
                number += 1;
                self.sent.fetch_add(1, Ordering::Relaxed);
                let text = text.replace("\"TOKEN\"", &token);
                let text = text.replace("\"NUMBER\"", &number.to_string());
                write_chunk(&mut stream, &text).await?;
            }
        }
        let id = message.get("id").cloned().unwrap_or_default();
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": self.result("tools/call")});
        write_chunk(&mut stream, &format!("data: {answer}\n\n")).await?;
        stream.get_mut().write_all(b"0\r\n\r\n").await?;
        Ok(())
    }

    async fn answer(
        &self,
        stream: &mut BufReader<TcpStream>,
        name: &str,
        message: &Value,
    ) -> Result<()> {
        let Some(id) = message.get("id") else {
            return write_response(stream, "202 Accepted", "").await;
        };
        let unknown = match self.transport {
            FloodTransport::Modern => name == "initialize",
            FloodTransport::Legacy => name == "server/discover",
            // The HTTP+SSE transport accepts no POST before its stream is open.
            FloodTransport::HttpSse => lock(&self.answers).is_none(),
        };
        if unknown {
            return write_response(stream, "404 Not Found", "").await;
        }
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": self.result(name)}).to_string();
        if self.transport == FloodTransport::HttpSse {
            let sent = lock(&self.answers)
                .as_ref()
                .map(|to| to.try_send(format!("event: message\ndata: {answer}\n\n")));
            sent.context("no stream")?.ok().context("no stream")?;
            return write_response(stream, "202 Accepted", "").await;
        }
        write_response(stream, "200 OK", &answer).await
    }

    fn result(&self, name: &str) -> Value {
        let version = match self.transport {
            FloodTransport::HttpSse => "2024-11-05",
            FloodTransport::Modern | FloodTransport::Legacy => "2025-11-25",
        };
        let capabilities = json!({
            "tools": {"listChanged": true},
            "logging": {},
            "resources": {"subscribe": true, "listChanged": true},
        });
        let mut result = match name {
            "server/discover" => {
                json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities})
            }
            "initialize" => json!({"protocolVersion": version, "capabilities": capabilities,
                "serverInfo": {"name": "hose", "version": "1"}}),
            "tools/list" => {
                json!({"tools": [{"name": "say", "inputSchema": {"type": "object"}}]})
            }
            "resources/list" => json!({"resources": [{"uri": "file:///one", "name": "one"}]}),
            "resources/templates/list" => json!({"resourceTemplates": []}),
            "tools/call" => json!({"content": [{"type": "text", "text": "said"}]}),
            _ => json!({}),
        };
        if self.transport == FloodTransport::Modern {
            result["resultType"] = json!("complete");
            result["ttlMs"] = json!(1000);
            result["cacheScope"] = json!("private");
        }
        result
    }
}

/// Text and duration in seconds of a call.
fn flood_arguments(message: &Value) -> Option<(String, u64)> {
    let text = message.pointer("/params/arguments/text")?.as_str()?;
    let seconds = message.pointer("/params/arguments/seconds")?.as_u64()?;
    Some((text.to_owned(), seconds))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the next request of a connection; `None` at its end.
async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<ReceivedRequest>> {
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    let reading = stream.read_exact(&mut body);
    timeout(HANG_GUARD, reading).await??;
    let Some((method, _)) = head.first().and_then(|line| line.split_once(' ')) else {
        bail!("no request");
    };
    Ok(Some(ReceivedRequest {
        method: method.to_owned(),
        message: serde_json::from_slice(&body).unwrap_or_default(),
    }))
}

async fn write_response(stream: &mut BufReader<TcpStream>, status: &str, body: &str) -> Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nmcp-session-id: one\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    Ok(stream.get_mut().write_all(head.as_bytes()).await?)
}

async fn begin_event_stream(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.get_mut().write_all(head.as_bytes()).await?;
    write_chunk(stream, ": hello\n\n").await
}

async fn write_chunk(stream: &mut BufReader<TcpStream>, text: &str) -> Result<()> {
    let piece = format!("{:x}\r\n{text}\r\n", text.len());
    Ok(stream.get_mut().write_all(piece.as_bytes()).await?)
}
