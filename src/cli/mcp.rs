//! A small MCP client of the modern era, for `tools`, `prompts` and `resources`: every gateway speaks it, whatever the
//! servers behind it speak.

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
    sse::{Framer, SseLimits},
    versions::MODERN,
};

use super::{
    dial,
    fault::{Fault, FaultKind},
};

/// Largest answer taken from a gateway.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
/// JSON-RPC: method not found.
const METHOD_NOT_FOUND: &str = "-32601";

/// A gateway as a client reaches it.
pub struct McpClient {
    http: HttpClient,
    url: String,
    token: String,
    next_id: u64,
}

/// A request to send.
pub struct Ask<'a> {
    /// Method.
    pub method: &'a str,
    /// Value of `Mcp-Name`, where the method has one.
    pub name: Option<&'a str>,
    /// Members of `params` beside `_meta`, JSON without braces.
    pub members: String,
    /// More headers: mirrored arguments.
    pub mirrored: Vec<(String, String)>,
}

impl McpClient {
    /// For the endpoint `url`, presenting `token`.
    pub fn new(http: HttpClient, url: String, token: String) -> Self {
        Self {
            http,
            url,
            token,
            next_id: 0,
        }
    }

    /// Sends a request and returns its result. Notifications on the way go to `notified`.
    pub async fn ask(
        &mut self,
        ask: Ask<'_>,
        notified: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<Value, Fault> {
        self.next_id += 1;
        let request = self.request(&ask)?;
        let answer = self.http.request(request).await;
        let answer = answer.map_err(|error| dial::unreachable(&self.url, &error))?;
        let status = answer.status();
        let frame = self.last_frame(answer, notified).await?;
        self.outcome(status, &frame)
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

    /// The answer to our request: the body, or the event that answers it.
    async fn last_frame(
        &self,
        answer: Response<Answer>,
        notified: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<Value, Fault> {
        let kind = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let streams = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut framer = Framer::new(SseLimits::default());
        let mut whole = BytesMut::new();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
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
        let text = || String::from_utf8_lossy(&whole[..whole.len().min(200)]).into_owned();
        serde_json::from_slice(&whole).map_err(|_| self.broken(&format!("not JSON: {:?}", text())))
    }

    fn outcome(&self, status: StatusCode, frame: &Value) -> Result<Value, Fault> {
        if let Some(result) = frame.get("result") {
            return Ok(result.clone());
        }
        let error = frame
            .get("error")
            .map(ToString::to_string)
            .unwrap_or_default();
        let error = RpcError::read(error.as_bytes());
        let (code, message) = match &error {
            Some(error) => (error.code.to_string(), error.message.to_string()),
            None => (String::new(), format!("{} answered {status}", self.url)),
        };
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FaultKind::Denied,
            // Also the answer to an unknown method, which is another matter.
            StatusCode::NOT_FOUND if code != METHOD_NOT_FOUND => FaultKind::NotFound,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                FaultKind::Unavailable
            }
            _ => FaultKind::Error,
        };
        let mut fault = Fault::new(kind, message).note(format!("{} HTTP {status}", self.url));
        if !code.is_empty() {
            fault = fault.note(format!("JSON-RPC code {code}"));
        }
        if kind == FaultKind::Denied {
            fault = fault.next("give a token for this gateway with --token, or let this command make one: leave --token out and give an admin token");
        }
        if kind == FaultKind::NotFound {
            fault = fault.next("`toolgate get gateways` lists the gateways there are");
        }
        Err(fault)
    }

    /// All tools.
    pub async fn tools(&mut self) -> Result<Vec<Value>, Fault> {
        self.list(Kind::Tool).await
    }

    /// All there is of a kind, page after page.
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

    fn broken(&self, reason: &str) -> Fault {
        Fault::new(
            FaultKind::Unavailable,
            format!("the answer of {} broke off: {reason}", self.url),
        )
    }
}
