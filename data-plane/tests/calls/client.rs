//! A client of either era, low-level enough to send invalid requests.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use toolgate_egress::{Egress, EgressPolicy, EgressRequestBody, HttpClient, PoolOptions};
use toolgate_mcp::sse::{SseDecoder, SseLimits};
use toolgate_model::Era;

use crate::rig::HANG_GUARD;

/// Address, token and session of the requests.
#[derive(Clone)]
pub struct TestClient {
    http: HttpClient,
    url: String,
    pub token: String,
    pub session: Option<String>,
    pub version: String,
    pub capabilities: Value,
    /// Headers sent in addition to those of a request.
    pub extra_headers: Vec<(&'static str, &'static str)>,
}

/// Response that was read to its end.
#[derive(Debug)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

/// Response that is still being read.
pub struct TestResponseStream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: toolgate_egress::EgressResponseBody,
    framer: SseDecoder,
}

impl TestClient {
    pub fn new(address: SocketAddr, gateway: &str, token: &str) -> Self {
        let policy = EgressPolicy {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            ..EgressPolicy::default()
        };
        let http = Egress::new(policy).unwrap().http(PoolOptions::default());
        Self {
            http,
            url: format!("http://{address}/v1/mcp/{gateway}"),
            token: token.to_owned(),
            session: None,
            version: "2025-11-25".to_owned(),
            capabilities: json!({}),
            extra_headers: Vec::new(),
        }
    }

    /// Sends a request with only these headers and the token.
    pub async fn raw(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TestResponseStream {
        let mut request = Request::builder().method(method).uri(&self.url);
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers.iter().chain(&self.extra_headers) {
            request = request.header(*name, *value);
        }
        let request = request
            .body(EgressRequestBody::full(body.to_owned()))
            .unwrap();
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        TestResponseStream {
            status: head.status,
            headers: head.headers,
            body,
            framer: SseDecoder::new(SseLimits::default()),
        }
    }

    /// Posts a message as a legacy client.
    pub async fn legacy(&self, message: Value) -> TestResponseStream {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        if let Some(session) = &self.session {
            headers.push(("mcp-session-id", session));
            headers.push(("mcp-protocol-version", &self.version));
        }
        self.raw(Method::POST, &headers, &message.to_string()).await
    }

    /// Opens a session with `initialize` and returns the result.
    pub async fn initialize(&mut self) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": self.version, "capabilities": self.capabilities,
            "clientInfo": {"name": "test", "version": "1"},
        }});
        let answer = self.legacy(message).await.whole().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let session = answer.headers["mcp-session-id"].to_str().unwrap();
        self.session = Some(session.to_owned());
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let accepted = self.legacy(ready).await.whole().await;
        assert_eq!((accepted.status.as_u16(), &*accepted.text), (202, ""));
        answer.json()
    }

    /// Posts a request as a modern client, with the required headers and `_meta`.
    pub async fn modern(&self, mut message: Value) -> TestResponseStream {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        let params = message["params"].as_object_mut();
        if let Some(params) = params {
            let own = params.entry("_meta").or_insert(json!({}));
            own.as_object_mut()
                .unwrap()
                .extend(meta.as_object().unwrap().clone());
        } else {
            message["params"] = json!({"_meta": meta});
        }
        let method = message["method"].as_str().unwrap().to_owned();
        let params = &message["params"];
        let named = params["name"].as_str().or(params["uri"].as_str());
        let named = named.map(str::to_owned);
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", &method),
        ];
        if let Some(name) = &named {
            headers.push(("mcp-name", name));
        }
        self.raw(Method::POST, &headers, &message.to_string()).await
    }

    /// Sends a request in the form of `era`.
    pub async fn ask(&self, era: Era, message: Value) -> TestResponseStream {
        match era {
            Era::Legacy => self.legacy(message).await,
            Era::Modern => self.modern(message).await,
        }
    }

    /// Calls a tool in the form of `era`.
    pub async fn call(&self, era: Era, id: Value, tool: &str, text: &str) -> TestResponseStream {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": tool, "arguments": {"text": text}, "_meta": {"progressToken": "mine"},
        }});
        self.ask(era, message).await
    }
}

impl TestResponse {
    /// Body, parsed as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// JSON-RPC error code.
    pub fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap()
    }
}

impl TestResponseStream {
    /// Reads the response to its end.
    pub async fn whole(self) -> TestResponse {
        let bytes = tokio::time::timeout(HANG_GUARD, self.body.collect());
        let bytes = bytes.await.expect("an end in time").unwrap().to_bytes();
        TestResponse {
            status: self.status,
            headers: self.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Returns the next message of the stream, or `None` at its end.
    pub async fn message(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.framer.next_event() {
                return Some(serde_json::from_slice(&event.data).unwrap());
            }
            let frame = tokio::time::timeout(HANG_GUARD, self.body.frame());
            let frame = frame.await.expect("a message in time")?.unwrap();
            let bytes: Bytes = frame.into_data().unwrap();
            self.framer.push(&bytes).unwrap();
        }
    }

    /// Returns the response message: the last message of a stream, or the JSON body.
    pub async fn last(self) -> Value {
        match self.headers["content-type"] == "text/event-stream" {
            true => self.messages().await.pop().unwrap(),
            false => self.whole().await.json(),
        }
    }

    /// Reads all remaining messages of the stream.
    pub async fn messages(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(message) = self.message().await {
            all.push(message);
        }
        all
    }
}
