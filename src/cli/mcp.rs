//! Minimal MCP client of the modern era, for `tools`, `prompts` and `resources`. Every gateway supports this era,
//! regardless of the servers behind it.

use std::time::Duration;

use bytes::BytesMut;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use toolgate_egress::{Answer, Body, HttpClient};
use toolgate_mcp::{
    definition::Kind,
    error::RpcError,
    headers,
    message::{self, Implementation, ModernMeta},
    method,
    sse::{Framer, SseLimits},
    versions::MODERN,
};

use super::{
    dial,
    fault::{Fault, FaultKind},
};

/// Maximum size of a response in bytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
/// JSON-RPC error code "method not found".
const METHOD_NOT_FOUND: &str = "-32601";

/// Beginnings of a gateway's error messages for objects that do not exist, or that the caller may not see.
const UNKNOWN: [&str; 3] = ["Unknown tool: ", "Unknown prompt: ", "Resource not found: "];

/// Returns the timeout of a method. Methods that servers answer have none; the gateway answers all others itself.
fn patience(method: &str) -> Option<Duration> {
    let of_servers = [
        method::TOOLS_CALL,
        method::PROMPTS_GET,
        method::RESOURCES_READ,
    ];
    (!of_servers.contains(&method)).then_some(dial::PATIENCE)
}

/// Client of a gateway.
pub struct McpClient {
    http: HttpClient,
    url: String,
    token: String,
    next_id: u64,
}

/// Request to a gateway.
pub struct Ask<'a> {
    /// JSON-RPC method.
    pub method: &'a str,
    /// Value of `Mcp-Name`, if the method has one.
    pub name: Option<&'a str>,
    /// Members of `params` beside `_meta`: JSON without braces.
    pub members: String,
    /// Additional headers: mirrored arguments.
    pub mirrored: Vec<(String, String)>,
}

impl McpClient {
    /// Creates a client of the endpoint `url` with the bearer token `token`.
    pub fn new(http: HttpClient, url: String, token: String) -> Self {
        Self {
            http,
            url,
            token,
            next_id: 0,
        }
    }

    /// Sends a request and returns its result. Notifications that precede the result are passed to `notified`.
    pub async fn ask(
        &mut self,
        ask: Ask<'_>,
        notified: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<Value, Fault> {
        self.next_id += 1;
        let request = self.request(&ask)?;
        let patience = patience(ask.method);
        let answer = self.within(patience, self.http.request(request)).await?;
        let answer = answer.map_err(|error| dial::unreachable(&self.url, &error))?;
        let status = answer.status();
        let frame = self.last_frame(answer, patience, notified).await?;
        self.outcome(status, &frame)
    }

    /// Awaits `work`, with a timeout if there is one.
    async fn within<T>(
        &self,
        patience: Option<Duration>,
        work: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        let Some(patience) = patience else {
            return Ok(work.await);
        };
        let done = tokio::time::timeout(patience, work).await;
        done.map_err(|_elapsed| dial::silent(&self.url))
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Body>, Fault> {
        let client = Implementation {
            name: "toolgate-cli".to_owned(),
            title: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let id = self.next_id.to_string();
        let meta = ModernMeta {
            version: MODERN,
            capabilities: "{}",
            client: Some(&client.to_json()),
            progress_token: Some(&id),
            log_level: None,
            carry: None,
        };
        let meta = meta.to_json();
        let meta = String::from_utf8_lossy(&meta);
        let comma = if ask.members.is_empty() { "" } else { "," };
        let params = format!("{{{}{comma}\"_meta\":{meta}}}", ask.members);
        let body = message::request(&id, ask.method, Some(&params));
        let mut request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(headers::VERSION, MODERN)
            .header(headers::METHOD, ask.method);
        if !self.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        }
        if let Some(name) = ask.name {
            request = request.header(headers::NAME, headers::encode(name).as_ref());
        }
        for (name, value) in &ask.mirrored {
            request = request.header(name, value);
        }
        request
            .body(Body::full(body))
            .map_err(|error| Fault::usage(format!("cannot ask {}: {error}", self.url)))
    }

    /// Reads the response to the request: the body, or the event that holds the response.
    async fn last_frame(
        &self,
        answer: Response<Answer>,
        patience: Option<Duration>,
        notified: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<Value, Fault> {
        let kind = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let streams = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        let status = answer.status();
        let mut framer = Framer::new(SseLimits::default());
        let mut whole = BytesMut::new();
        let mut body = answer.into_body();
        while let Some(frame) = self.within(patience, body.frame()).await? {
            let frame = frame.map_err(|error| self.broken(&error.to_string()))?;
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if !streams {
                if whole.len() + chunk.len() > LARGEST_ANSWER {
                    return Err(self.broken("the answer is too large"));
                }
                whole.extend_from_slice(&chunk);
                continue;
            }
            framer
                .push(&chunk)
                .map_err(|error| self.broken(&error.to_string()))?;
            while let Some(event) = framer.next_event() {
                let Ok(message) = serde_json::from_slice::<Value>(&event.data) else {
                    continue;
                };
                if message.get("id").is_some() && message.get("method").is_none() {
                    return Ok(message);
                }
                notified(&message);
            }
        }
        if streams {
            return Err(self.broken("the stream ended before the answer"));
        }
        serde_json::from_slice(&whole).map_err(|_| self.foreign(status))
    }

    fn outcome(&self, status: StatusCode, frame: &Value) -> Result<Value, Fault> {
        if let Some(result) = frame.get("result") {
            return Ok(result.clone());
        }
        let error = frame
            .get("error")
            .map(ToString::to_string)
            .unwrap_or_default();
        let Some(error) = RpcError::read(error.as_bytes()) else {
            return Err(self.foreign(status));
        };
        let (code, mut message) = (error.code.to_string(), error.message.to_string());
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FaultKind::Denied,
            // Status 404 is also the response to an unknown method, which is a different error.
            StatusCode::NOT_FOUND if code != METHOD_NOT_FOUND => FaultKind::NotFound,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                FaultKind::Unavailable
            }
            _ if UNKNOWN.iter().any(|words| message.starts_with(words)) => FaultKind::NotFound,
            _ => FaultKind::Failed,
        };
        if status == StatusCode::NOT_FOUND && kind == FaultKind::NotFound {
            "there is no such gateway".clone_into(&mut message);
        }
        let refused = status == StatusCode::SERVICE_UNAVAILABLE && message.contains("available");
        let mut fault = Fault::new(kind, message)
            .note(format!("{} HTTP {status}", self.url))
            .note(format!("JSON-RPC code {code}"));
        if refused {
            fault = fault.next("`toolgate proxies -o json` says what a proxy refuses, and why");
        }
        if kind == FaultKind::Denied {
            fault = fault.next("give a token for this gateway with --token, or let this command make one: leave --token out and give an admin token");
        }
        if kind == FaultKind::NotFound && status == StatusCode::NOT_FOUND {
            fault = fault.next("`toolgate get gateways` lists the gateways there are");
        }
        Err(fault)
    }

    /// Sends `server/discover`.
    pub async fn discover(&mut self) -> Result<(), Fault> {
        let ask = Ask {
            method: method::DISCOVER,
            name: None,
            members: String::new(),
            mirrored: Vec::new(),
        };
        self.ask(ask, &mut |_| {}).await.map(drop)
    }

    /// Lists all tools.
    pub async fn tools(&mut self) -> Result<Vec<Value>, Fault> {
        self.list(Kind::Tool).await
    }

    /// Lists all objects of a kind, page by page.
    pub async fn list(&mut self, kind: Kind) -> Result<Vec<Value>, Fault> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let members = match &cursor {
                Some(cursor) => format!("\"cursor\":{}", Value::String(String::clone(cursor))),
                None => String::new(),
            };
            let ask = Ask {
                method: kind.method(),
                name: None,
                members,
                mirrored: Vec::new(),
            };
            let mut page = self.ask(ask, &mut |_| {}).await?;
            if let Some(Value::Array(items)) = page.get_mut(kind.list()).map(Value::take) {
                all.extend(items);
            }
            match page["nextCursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
    }

    /// Error of a response that is not from a gateway.
    fn foreign(&self, status: StatusCode) -> Fault {
        Fault::new(
            FaultKind::Unavailable,
            format!("{} answers, but not as a gateway does", self.url),
        )
        .note(format!("HTTP {status}"))
        .next(
            "set TOOLGATE_ENDPOINT (or --endpoint) to a proxy, or to the balancer before them: 7300 is its usual port; \
             without it the control plane is asked",
        )
    }

    fn broken(&self, reason: &str) -> Fault {
        Fault::new(
            FaultKind::Unavailable,
            format!("the answer of {} broke off: {reason}", self.url),
        )
    }
}
