//! A server of either era whose behavior depends on the called tool and which records all requests.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use toolgate_model::Era;

/// Fake MCP server.
#[derive(Clone)]
pub struct FakeServer {
    pub era: Era,
    pub address: SocketAddr,
    pub seen: Arc<Mutex<FakeServerState>>,
    /// Messages for all feeds; null ends the feeds.
    pub feeds: tokio::sync::broadcast::Sender<Value>,
}

/// Form in which a legacy server refuses an unknown session.
#[derive(Debug, Clone, Copy)]
pub enum SessionRefusalMode {
    /// HTTP status with a text.
    Status(u16),
    /// JSON-RPC error under this HTTP status, as the official SDKs send it.
    Error(u16),
}

impl Default for SessionRefusalMode {
    fn default() -> Self {
        Self::Status(404)
    }
}

/// Requests and counters of a [`FakeServer`].
#[derive(Default)]
pub struct FakeServerState {
    pub requests: Vec<(HeaderMap, Value)>,
    pub sessions: BTreeSet<String>,
    /// Refusal of a request in an unknown session.
    pub session_refusal: SessionRefusalMode,
    /// The head of a GET stream is sent after the response to a call.
    pub holds_back_stream_heads: bool,
    pub opened: usize,
    pub deleted: usize,
    /// Requests whose connection was closed before their response.
    pub dropped: usize,
    /// Messages of the flood tool that were read by the proxy.
    pub flooded: usize,
    pub polled: crate::fake_polling::PollingScript,
    pub levels: crate::fake_logging::FakeLogLevels,
}

pub type FakeResponseBody = BoxBody<Bytes, std::io::Error>;

impl FakeServer {
    pub async fn start(era: Era) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self {
            era,
            address,
            seen: Arc::default(),
            feeds: tokio::sync::broadcast::Sender::new(64),
        };
        let ours = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = ours.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| server.serve(request));
                    let io = TokioIo::new(stream);
                    let _ended = http1::Builder::new().serve_connection(io, service).await;
                });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Forgets all sessions, as after a restart.
    pub fn forget_sessions(&self) {
        self.seen.lock().unwrap().sessions.clear();
    }

    /// Number of calls of this tool.
    pub fn calls(&self, tool: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let is = |(_, message): &&(HeaderMap, Value)| {
            message["method"] == "tools/call" && message["params"]["name"] == tool
        };
        seen.requests.iter().filter(is).count()
    }

    /// Number of messages with this method.
    pub fn count(&self, method: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let is = |(_, message): &&(HeaderMap, Value)| message["method"] == method;
        seen.requests.iter().filter(is).count()
    }

    /// Last message with this method.
    pub fn last(&self, method: &str) -> Option<(HeaderMap, Value)> {
        let seen = self.seen.lock().unwrap();
        let is = |(_, message): &&(HeaderMap, Value)| message["method"] == method;
        seen.requests.iter().rfind(is).cloned()
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<FakeResponseBody>, Infallible> {
        let (head, body) = request.into_parts();
        if head.method == Method::DELETE {
            self.seen.lock().unwrap().deleted += 1;
            return Ok(plain(200, "text/plain", ""));
        }
        if head.method == Method::GET && head.headers.contains_key("last-event-id") {
            return Ok(self.resume_stream(&head.headers));
        }
        if head.method == Method::GET {
            if let Some(stream) = self.scripted_session_stream() {
                return Ok(stream);
            }
            if self.seen.lock().unwrap().holds_back_stream_heads {
                let calls = || self.count("tools/call");
                let before = calls();
                while calls() == before {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            return Ok(self.feed(None));
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let entry = (head.headers.clone(), message.clone());
        self.seen.lock().unwrap().requests.push(entry);
        if let Some(refused) = self.session_error(&head.headers, &message) {
            return Ok(refused);
        }
        if message["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("pester"))
        {
            // Delays these responses.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if message.get("id").is_none() || message.get("method").is_none() {
            return Ok(plain(202, "text/plain", ""));
        }
        Ok(match message["method"].as_str().unwrap() {
            "initialize" => self.initialize(&message),
            "ping" => answer(&message, &json!({})),
            "tools/call" if message["params"]["name"] == "logs" => {
                self.logs(&head.headers, &message)
            }
            "tools/call" => self.tool(&message).await,
            "logging/setLevel" => self.set_level(&head.headers, &message).await,
            "prompts/get" => crate::prompts_and_resources::prompt(&message),
            "resources/read" => crate::prompts_and_resources::resource_result(self.era, &message),
            "completion/complete" => crate::prompts_and_resources::completion_result(&message),
            "resources/subscribe" | "resources/unsubscribe" => self.subscribe(&message),
            "subscriptions/listen" => self.feed(Some(&message)),
            other => panic!("unexpected {other}"),
        })
    }

    fn initialize(&self, message: &Value) -> Response<FakeResponseBody> {
        let mut seen = self.seen.lock().unwrap();
        seen.opened += 1;
        let session = format!("session-{}", seen.opened);
        seen.sessions.insert(session.clone());
        let capabilities = match seen.levels.undeclared {
            true => json!({"tools": {}}),
            false => json!({"tools": {}, "logging": {}}),
        };
        let result = json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": capabilities,
            "serverInfo": {"name": "fake", "version": "1"},
        });
        let mut response = answer(message, &result);
        response
            .headers_mut()
            .insert("mcp-session-id", session.parse().unwrap());
        response
    }

    /// Response to a request with a missing or unknown session.
    fn session_error(
        &self,
        headers: &HeaderMap,
        message: &Value,
    ) -> Option<Response<FakeResponseBody>> {
        if self.era == Era::Modern || message["method"] == "initialize" {
            return None;
        }
        let session = headers
            .get("mcp-session-id")
            .map(|id| id.to_str().unwrap().to_owned());
        let known = self
            .seen
            .lock()
            .unwrap()
            .sessions
            .contains(session.as_deref().unwrap_or(""));
        let refusal = self.seen.lock().unwrap().session_refusal;
        (!known).then(|| match refusal {
            SessionRefusalMode::Status(status) => plain(status, "text/plain", "no such session"),
            SessionRefusalMode::Error(status) => {
                let error = json!({"code": -32000, "message": "Bad Request: No valid session ID"});
                let body = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
                plain(status, "application/json", &body.to_string())
            }
        })
    }

    async fn tool(&self, message: &Value) -> Response<FakeResponseBody> {
        let params = &message["params"];
        let text = params["arguments"]["text"].as_str().unwrap_or_default();
        let result = json!({"content": [{"type": "text", "text": text}]});
        match params["name"].as_str().unwrap() {
            "echo" => answer(message, &result),
            "tool_error" => answer(message, &json!({"content": [], "isError": true})),
            "marked" => result_with_meta(message, &result),
            "error" => failure(message, -32050, "theirs"),
            "app" => crate::apps::app_result(message),
            "task" => crate::tasks::task_result(message),
            "capable" => crate::prompts_and_resources::missing_sampling_error(message),
            "fail" => plain(500, "text/html", "<h1>secret of the server</h1>"),
            "missing" => plain(404, "text/html", "<h1>secret of the server</h1>"),
            "locked" => plain(401, "text/plain", "secret of the server"),
            "html" => plain(200, "text/html", "<h1>secret of the server</h1>"),
            "redirect" => {
                let mut response = plain(307, "text/plain", "");
                response
                    .headers_mut()
                    .insert("location", "http://10.0.0.1/".parse().unwrap());
                response
            }
            "accepted" => plain(202, "text/plain", ""),
            "garbage" => plain(200, "application/json", "{\"jsonrpc\": \"2.0\", "),
            "silent" => {
                let _dropped = DropCounter(Arc::clone(&self.seen));
                std::future::pending().await
            }
            "slow" => self.slow(message),
            "pester" => self.repeat_requests(message),
            "oversize" => self.oversize(message),
            "canary" => echo_as_log_progress_and_result(message, &result),
            "flood" => self.flood(message),
            "tick" => self.tick(message),
            "polled" => self.serve_polled_call(message),
            name if name.starts_with("ask") => self.serve_ask(message),
            name if name.starts_with("visit") => self.serve_url_elicitation(name, message).await,
            name => self.streamed(name, message, &result),
        }
    }

    /// Responds after ten seconds, or never if the connection is closed before.
    fn slow(&self, message: &Value) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let (seen, message) = (Arc::clone(&self.seen), message.clone());
        tokio::spawn(async move {
            progress(&sink, &message, 1).await;
            tokio::select! {
                () = sink.closed() => seen.lock().unwrap().dropped += 1,
                () = tokio::time::sleep(Duration::from_secs(10)) => {
                    event(&sink, &json!({"jsonrpc": "2.0", "id": message["id"], "result": {}})).await;
                }
            }
        });
        events(body)
    }

    /// Sends a hundred undeclared requests and responds half a second later.
    fn repeat_requests(&self, message: &Value) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let message = message.clone();
        tokio::spawn(async move {
            progress(&sink, &message, 1).await;
            for n in 0..100 {
                let id = format!("pester-{n}");
                let ask = json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"});
                event(&sink, &ask).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let result = json!({"content": [{"type": "text", "text": "done"}]});
            let last = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
            event(&sink, &last).await;
        });
        events(body)
    }

    /// Sends a message of two mebibytes during a call and leaves the call open.
    fn oversize(&self, message: &Value) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let message = message.clone();
        tokio::spawn(async move {
            progress(&sink, &message, 1).await;
            let token = &message["params"]["_meta"]["progressToken"];
            let text = "x".repeat(2 << 20);
            let large = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": token, "progress": 2, "message": text}});
            event(&sink, &large).await;
            sink.closed().await;
        });
        events(body)
    }

    /// Sends progress twenty times a second until the connection is closed.
    fn tick(&self, message: &Value) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let (seen, message) = (Arc::clone(&self.seen), message.clone());
        tokio::spawn(async move {
            for step in 1.. {
                progress(&sink, &message, step).await;
                let pause = tokio::time::sleep(Duration::from_millis(50));
                tokio::select! {
                    () = sink.closed() => break,
                    () = pause => {}
                }
            }
            seen.lock().unwrap().dropped += 1;
        });
        events(body)
    }

    /// Sends only progress, as fast as it is read.
    fn flood(&self, message: &Value) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let (seen, token) = (
            Arc::clone(&self.seen),
            message["params"]["_meta"]["progressToken"].clone(),
        );
        tokio::spawn(async move {
            let text = "x".repeat(256 * 1024);
            for step in 1_u32.. {
                let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": token, "progress": step, "message": text}});
                let text = format!("data: {progress}\n\n");
                if sink.send(Ok(Frame::data(Bytes::from(text)))).await.is_err() {
                    break;
                }
                seen.lock().unwrap().flooded += 1;
            }
            seen.lock().unwrap().dropped += 1;
        });
        events(body)
    }

    fn streamed(&self, name: &str, message: &Value, result: &Value) -> Response<FakeResponseBody> {
        let (sink, body) = channel();
        let last = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        let (name, message) = (name.to_owned(), message.clone());
        tokio::spawn(async move {
            if name == "single" {
                return event(&sink, &last).await;
            }
            let log = json!({"jsonrpc": "2.0", "method": "notifications/message",
                "params": {"level": "error", "logger": "log", "data": "hello"}});
            event(&sink, &log).await;
            for step in 1..=3 {
                progress(&sink, &message, step).await;
            }
            let foreign = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": "other", "progress": 9}});
            event(&sink, &foreign).await;
            if name == "cut" {
                let error = std::io::Error::other("cut");
                return drop(sink.send(Err(error)).await);
            }
            if name == "babble" {
                let text = Bytes::from_static(b"data: {\"jsonrpc\": \"2.0\", \n\n");
                let _taken = sink.send(Ok(Frame::data(text))).await;
                return sink.closed().await;
            }
            if name == "lie" {
                let result = json!({"content": [], "resultType": 7});
                let last = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
                return event(&sink, &last).await;
            }
            event(&sink, &last).await;
        });
        events(body)
    }
}

/// Responds with `_meta` members of its own.
fn result_with_meta(message: &Value, result: &Value) -> Response<FakeResponseBody> {
    let mut result = result.clone();
    result["_meta"] = json!({"vendor.example/y": {"deep": [2.5, {}]}, "plain": "yes",
        "progressToken": 1, "io.modelcontextprotocol/serverInfo": {"name": "fake"}});
    answer(message, &result)
}

/// Returns its argument in a log message, as progress and as the result.
fn echo_as_log_progress_and_result(message: &Value, result: &Value) -> Response<FakeResponseBody> {
    let text = message["params"]["arguments"]["text"].clone();
    let token = &message["params"]["_meta"]["progressToken"];
    let all = [
        json!({"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "error", "data": text}}),
        json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 1, "message": text}}),
        json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
    ];
    let text = all.map(|message| format!("data: {message}\n\n")).concat();
    plain(200, "text/event-stream", &text)
}

/// Counts a dropped request.
struct DropCounter(Arc<Mutex<FakeServerState>>);

impl Drop for DropCounter {
    fn drop(&mut self) {
        self.0.lock().unwrap().dropped += 1;
    }
}

pub(crate) type EventSink = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

pub(crate) fn channel() -> (EventSink, FakeResponseBody) {
    let (sink, events) = mpsc::channel(1);
    let stream = futures_util::stream::unfold(events, |mut events| async move {
        events.recv().await.map(|event| (event, events))
    });
    (sink, StreamBody::new(stream).boxed())
}

pub(crate) async fn event(sink: &EventSink, message: &Value) {
    let text = format!("data: {message}\n\n");
    drop(sink.send(Ok(Frame::data(Bytes::from(text)))).await);
}

pub(crate) async fn progress(sink: &EventSink, message: &Value, step: u32) {
    let token = &message["params"]["_meta"]["progressToken"];
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": token, "progress": step}});
    event(sink, &progress).await;
}

pub(crate) fn events(body: FakeResponseBody) -> Response<FakeResponseBody> {
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(body)
        .unwrap()
}

pub fn answer(message: &Value, result: &Value) -> Response<FakeResponseBody> {
    let frame = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    plain(200, "application/json", &frame.to_string())
}

pub(crate) fn failure(message: &Value, code: i64, text: &str) -> Response<FakeResponseBody> {
    let error = json!({"code": code, "message": text});
    let frame = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
    plain(200, "application/json", &frame.to_string())
}

pub fn plain(status: u16, kind: &str, text: &str) -> Response<FakeResponseBody> {
    let body = http_body_util::Full::from(text.to_owned()).map_err(|never| match never {});
    let response = Response::builder()
        .status(status)
        .header("content-type", kind);
    response.body(body.boxed()).unwrap()
}
