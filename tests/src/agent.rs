//! Raw MCP clients of both eras that send exactly what a scenario specifies, valid or not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::Body;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::clock;
use crate::http_client::{HttpReply, TestHttpClient};
use crate::notification_stream::NotificationStream;

/// Protocol version of the modern era.
pub const MODERN: &str = "2026-07-28";
/// Longest wait for the next message of a stream.
const STREAM_TIMEOUT: Duration = crate::clock::HANG_GUARD;
/// Last protocol version of the legacy era.
pub const LEGACY: &str = "2025-11-25";

/// MCP client of one endpoint.
#[derive(Debug)]
pub struct Agent {
    http: TestHttpClient,
    url: String,
    token: Option<String>,
    session: Option<String>,
    legacy: bool,
    /// Client capabilities that it declares.
    capabilities: Value,
    next: AtomicU64,
}

impl Agent {
    /// Creates an agent of the modern era, which needs no handshake.
    #[must_use]
    pub fn modern(url: &str, token: &str) -> Self {
        Self {
            http: TestHttpClient::default(),
            url: url.to_owned(),
            token: Some(token.to_owned()).filter(|token| !token.is_empty()),
            session: None,
            legacy: false,
            capabilities: json!({}),
            next: AtomicU64::new(1),
        }
    }

    /// Creates an agent of the legacy era and completes its handshake.
    pub async fn legacy(url: &str, token: &str) -> Result<Self> {
        Self::legacy_with(url, token, json!({})).await
    }

    /// Same as [`legacy`](Self::legacy), declaring these capabilities.
    pub async fn legacy_with(url: &str, token: &str, capabilities: Value) -> Result<Self> {
        let agent = Self {
            legacy: true,
            capabilities,
            ..Self::modern(url, token)
        };
        agent.initialized().await
    }

    /// Opens another session of the same agent over the same connections.
    pub async fn open_another(&self) -> Result<Self> {
        let agent = Self {
            http: self.http.clone(),
            url: self.url.clone(),
            token: self.token.clone(),
            session: None,
            legacy: true,
            capabilities: self.capabilities.clone(),
            next: AtomicU64::new(1),
        };
        agent.initialized().await
    }

    async fn initialized(mut self) -> Result<Self> {
        let agent = &mut self;
        let greeting = json!({
            "protocolVersion": LEGACY,
            "capabilities": agent.capabilities,
            "clientInfo": {"name": "raw", "version": "1"},
        });
        let reply = agent.request("initialize", greeting).await?;
        answer(&reply, 1).context("initialize")?;
        agent.session = reply.header("mcp-session-id").map(str::to_owned);
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let reply = agent.post(&done, &[]).await?;
        if !reply.status.is_success() {
            bail!("initialized: {} {}", reply.status, reply.text());
        }
        Ok(self)
    }

    /// Declares these capabilities with each request.
    #[must_use]
    pub fn declaring(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Returns an agent in the same session at another URL, for example on another proxy.
    #[must_use]
    pub fn at_url(&self, url: &str) -> Self {
        Self {
            http: TestHttpClient::default(),
            url: url.to_owned(),
            token: self.token.clone(),
            session: self.session.clone(),
            legacy: self.legacy,
            capabilities: self.capabilities.clone(),
            next: AtomicU64::new(self.next.load(Ordering::Relaxed)),
        }
    }

    /// Session id, if the server assigned one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Headers that a correct agent sends with this method and name.
    pub fn headers(&self, method: &str, name: Option<&str>) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut set = |header: &'static str, value: &str| -> Result<()> {
            headers.insert(
                HeaderName::from_static(header),
                HeaderValue::from_str(value)?,
            );
            Ok(())
        };
        set("content-type", "application/json")?;
        set("accept", "application/json, text/event-stream")?;
        if let Some(token) = &self.token {
            set("authorization", &format!("Bearer {token}"))?;
        }
        if let Some(session) = &self.session {
            set("mcp-session-id", session)?;
        }
        if !self.legacy {
            set("mcp-protocol-version", MODERN)?;
            set("mcp-method", method)?;
            if let Some(name) = name {
                set("mcp-name", name)?;
            }
        } else if method != "initialize" {
            set("mcp-protocol-version", LEGACY)?;
        }
        Ok(headers)
    }

    /// Builds a well-formed request of this agent's era.
    #[must_use]
    pub fn frame(&self, method: &str, mut params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if !self.legacy
            && let Some(params) = params.as_object_mut()
        {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                let prefix = "io.modelcontextprotocol";
                meta.insert(format!("{prefix}/protocolVersion"), json!(MODERN));
                meta.insert(
                    format!("{prefix}/clientCapabilities"),
                    self.capabilities.clone(),
                );
            }
        }
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    /// Sends a request and reads the whole response.
    pub async fn request(&self, method: &str, params: Value) -> Result<HttpReply> {
        self.post(&self.frame(method, params), &[]).await
    }

    /// Sends this frame with the headers that belong to it; `changes` replaces some of them and removes those with an
    /// empty value.
    pub async fn post(&self, frame: &Value, changes: &[(&'static str, &str)]) -> Result<HttpReply> {
        let method = frame
            .get("method")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name = ["/params/name", "/params/uri"]
            .iter()
            .find_map(|path| frame.pointer(path).and_then(Value::as_str));
        let headers = self.headers(method, name)?;
        self.raw(
            Method::POST,
            Body::from(frame.to_string()),
            headers,
            changes,
        )
        .await
    }

    /// Sends a request of the legacy era and answers server requests on its stream with `answers`. Returns all
    /// messages.
    pub async fn converse(
        &self,
        frame: &Value,
        answers: impl Fn(&Value) -> Value,
    ) -> Result<Vec<Value>> {
        let answer = |message: &Value| std::future::ready(Ok(answers(message))).boxed();
        self.converse_with(self, frame, answer).await
    }

    /// Sends a request of the legacy era. Reports its question, and sends the answer through `elsewhere` as soon as it is
    /// given. Returns all messages.
    pub async fn converse_through(
        &self,
        elsewhere: &Self,
        frame: &Value,
        asked: oneshot::Sender<()>,
        given: oneshot::Receiver<Value>,
    ) -> Result<Vec<Value>> {
        let once = Mutex::new(Some((asked, given)));
        let answer = |_message: &Value| {
            let once = once.lock().map(|mut once| once.take());
            let once = once.ok().flatten();
            async move {
                let (asked, given) = once.context("asked twice")?;
                let _reported = asked.send(());
                Ok(json!({"result": given.await?}))
            }
            .boxed()
        };
        self.converse_with(elsewhere, frame, answer).await
    }

    async fn converse_with(
        &self,
        elsewhere: &Self,
        frame: &Value,
        answers: impl Fn(&Value) -> BoxFuture<'static, Result<Value>>,
    ) -> Result<Vec<Value>> {
        let mut request = Request::post(&self.url).body(Body::from(frame.to_string()))?;
        *request.headers_mut() = self.headers("tools/call", None)?;
        let mut body = Body::new(self.http.open(request).await?).into_data_stream();
        let (mut text, mut all) = (String::new(), Vec::new());
        while let Some(piece) = tokio::time::timeout(STREAM_TIMEOUT, body.next()).await? {
            text.push_str(std::str::from_utf8(&piece?)?);
            while let Some((line, rest)) = text.split_once('\n') {
                let data = line.strip_prefix("data:").map(str::trim);
                let message = data.map(serde_json::from_str::<Value>).transpose()?;
                text = rest.to_owned();
                let Some(message) = message else { continue };
                if message.get("method").is_some()
                    && let Some(id) = message.get("id")
                {
                    let mut answer = answers(&message).await?;
                    answer["jsonrpc"] = json!("2.0");
                    answer["id"] = id.clone();
                    let reply = elsewhere.post(&answer, &[]).await?;
                    anyhow::ensure!(reply.status == 202, "{}: {}", reply.status, reply.text());
                }
                all.push(message);
            }
        }
        Ok(all)
    }

    /// Subscribes to list changes: on the session stream or with `subscriptions/listen`.
    pub async fn listen(&self) -> Result<NotificationStream> {
        let lists = json!({"toolsListChanged": true, "promptsListChanged": true});
        self.listen_with_filter(lists).await
    }

    /// Subscribes with this filter; a session stream delivers everything.
    pub async fn listen_with_filter(&self, filter: Value) -> Result<NotificationStream> {
        let frame = self.frame("subscriptions/listen", json!({"notifications": filter}));
        let (method, mut headers, body) = if self.legacy {
            (Method::GET, self.headers("", None)?, Body::empty())
        } else {
            let headers = self.headers("subscriptions/listen", None)?;
            (Method::POST, headers, Body::from(frame.to_string()))
        };
        if self.legacy {
            headers.remove("content-type");
            headers.insert("accept", HeaderValue::from_static("text/event-stream"));
        }
        let mut request = Request::builder()
            .method(method)
            .uri(&self.url)
            .body(body)?;
        *request.headers_mut() = headers;
        let stream = self.http.open(request).await?;
        anyhow::ensure!(stream.status() == 200, "{}", stream.status());
        Ok(NotificationStream::new(stream))
    }

    /// Sends these bytes as a body, with the headers of `method`.
    pub async fn post_bytes(&self, body: impl Into<Body>, method: &str) -> Result<HttpReply> {
        self.raw(Method::POST, body.into(), self.headers(method, None)?, &[])
            .await
    }

    /// Sends an arbitrary request.
    pub async fn raw(
        &self,
        method: Method,
        body: Body,
        mut headers: HeaderMap,
        changes: &[(&'static str, &str)],
    ) -> Result<HttpReply> {
        for (name, value) in changes {
            headers.remove(*name);
            if !value.is_empty() {
                headers.insert(*name, HeaderValue::from_str(value)?);
            }
        }
        let mut request = Request::builder()
            .method(method)
            .uri(&self.url)
            .body(body)?;
        *request.headers_mut() = headers;
        self.http.send(request).await
    }

    /// Ends the session.
    pub async fn delete(&self) -> Result<HttpReply> {
        let headers = self.headers("", None)?;
        self.raw(Method::DELETE, Body::empty(), headers, &[]).await
    }

    /// Calls a tool and returns its result; a JSON-RPC error is returned as an error.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value> {
        let frame = self.frame("tools/call", json!({"name": tool, "arguments": arguments}));
        let reply = self.post(&frame, &[]).await?;
        answer(
            &reply,
            frame.get("id").and_then(Value::as_u64).unwrap_or_default(),
        )
    }

    /// Makes calls one after the other; returns the median of their times.
    pub async fn median_call(
        &self,
        tool: &str,
        arguments: &Value,
        calls: usize,
    ) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..calls {
            let start = clock::now();
            self.call(tool, arguments.clone()).await?;
            times.push(start.elapsed());
        }
        times.sort();
        times.get(calls / 2).copied().context("no call")
    }

    /// Calls `echo` (under the name `tool`) and checks that the message comes back.
    pub async fn echo(&self, tool: &str, message: &str) -> Result<()> {
        let result = self.call(tool, json!({"message": message})).await?;
        let text = result
            .pointer("/content/0/text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !text.contains(message) {
            bail!("asked {tool} to echo {message:?}, got {result}");
        }
        Ok(())
    }

    /// Names of all tools, over all pages.
    pub async fn tools(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let params = cursor
                .as_str()
                .map_or_else(|| json!({}), |at| json!({"cursor": at}));
            let frame = self.frame("tools/list", params);
            let id = frame.get("id").and_then(Value::as_u64).unwrap_or_default();
            let result = answer(&self.post(&frame, &[]).await?, id)?;
            let tools = result
                .get("tools")
                .and_then(Value::as_array)
                .context("no tools")?;
            let listed = tools.iter().filter_map(|tool| tool.get("name")?.as_str());
            names.extend(listed.map(str::to_owned));
            cursor = result.get("nextCursor").cloned().unwrap_or_default();
            if cursor.is_null() {
                return Ok(names);
            }
        }
    }
}

/// Messages of a response: one JSON object, or the events of a stream.
pub fn messages(reply: &HttpReply) -> Result<Vec<Value>> {
    let kind = reply.header("content-type").unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Ok(vec![reply.json()?]);
    }
    let text = reply.text();
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim)
        .filter(|data| !data.is_empty())
        .map(|data| serde_json::from_str(data).with_context(|| format!("event: {data}")))
        .collect()
}

/// Returns the result with this id; a JSON-RPC error is returned as an error.
pub fn answer(reply: &HttpReply, id: u64) -> Result<Value> {
    let found = messages(reply)
        .with_context(|| format!("status {}", reply.status))?
        .into_iter()
        .find(|message| message.get("id") == Some(&json!(id)))
        .with_context(|| format!("{}: no answer to {id} in {}", reply.status, reply.text()))?;
    match found.get("result") {
        Some(result) => Ok(result.clone()),
        None => bail!("{}: {found}", reply.status),
    }
}

/// Status, code and message of a rejection.
pub fn refusal(reply: &HttpReply) -> Result<(u16, i64, String)> {
    let message = messages(reply)?.pop().context("an empty stream")?;
    let error = message
        .get("error")
        .with_context(|| format!("not an error: {message}"))?;
    let code = error
        .get("code")
        .and_then(Value::as_i64)
        .context("an error without a code")?;
    let words = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Ok((reply.status.as_u16(), code, words.to_owned()))
}
