//! Minimal MCP client of the modern era, for `tools`, `prompts` and `resources`. Every gateway supports this era,
//! regardless of the servers behind it.

use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use toolgate_egress::{EgressRequestBody, EgressResponseBody, HttpClient};
use toolgate_mcp::{
    definition::DefinitionKind,
    error::{DATA_REFUSAL, RpcError},
    headers,
    message::{self, Implementation, ModernRequestMeta},
    method,
    sse::{SseDecoder, SseLimits},
    versions::MODERN,
};

use crate::cli::{
    client::{dial, gateway_address::ADDRESS_ADVICE},
    output::error::{ApiErrorReason, CliError, CliErrorKind},
};

/// Maximum size of a response in bytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;
/// JSON-RPC error code "method not found".
const METHOD_NOT_FOUND: &str = "-32601";

/// Reason of a refusal for a tool that the gateway does not offer to the caller.
const UNKNOWN_TOOL: &str = "unknown_tool";
/// The same for a prompt.
const UNKNOWN_PROMPT: &str = "unknown_prompt";
/// Reason of the refusal of a proxy that does not understand the gateway.
const GATEWAY_DENIED: &str = "gateway_denied";

/// Returns the timeout of a method. Methods that servers answer have none; the gateway answers all others itself.
fn response_timeout(method: &str) -> Option<Duration> {
    let of_servers = [
        method::TOOLS_CALL,
        method::PROMPTS_GET,
        method::RESOURCES_READ,
    ];
    (!of_servers.contains(&method)).then_some(dial::RESPONSE_TIMEOUT)
}

/// Client of a gateway.
pub struct McpClient {
    http: HttpClient,
    url: String,
    token: String,
    /// Reason why the address may be wrong.
    doubt: Option<String>,
    next_id: u64,
}

/// Request to a gateway.
pub struct McpRequest<'a> {
    /// JSON-RPC method.
    pub method: &'a str,
    /// Value of `Mcp-Name`, if the method has one.
    pub name: Option<&'a str>,
    /// Members of `params` beside `_meta`: JSON without braces.
    pub params_members: String,
    /// Additional headers: mirrored arguments.
    pub mirrored_headers: Vec<(String, String)>,
}

impl McpClient {
    /// Creates a client of the endpoint `url` with the bearer token `token`.
    pub fn new(http: HttpClient, url: String, token: String) -> Self {
        Self {
            http,
            url,
            token,
            doubt: None,
            next_id: 0,
        }
    }

    /// Sets the reason why the address may be wrong, which is told if nothing answers there.
    pub fn with_doubt(mut self, doubt: Option<String>) -> Self {
        self.doubt = doubt;
        self
    }

    /// Sends a request and returns its result. Notifications that precede the result are passed to `notified`.
    pub async fn send(
        &mut self,
        ask: McpRequest<'_>,
        notified: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<Value, CliError> {
        self.next_id += 1;
        let request = self.build_request(&ask)?;
        let patience = response_timeout(ask.method);
        let answer = self
            .with_timeout(patience, self.http.request(request))
            .await?;
        let answer = answer.map_err(|error| {
            let fault = dial::unreachable(&self.url, &error);
            match &self.doubt {
                Some(doubt) => fault
                    .with_note(format!("the address is a guess: {doubt}"))
                    .with_next_step(ADDRESS_ADVICE),
                None => fault,
            }
        })?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers());
        let frame = self.read_response(answer, patience, notified).await?;
        let result = self.to_result(status, &frame);
        result.map_err(|fault| {
            let gateway = self.url.rsplit('/').next().unwrap_or_default();
            with_retry(fault, status, retry_after, gateway)
        })
    }

    /// Awaits `work`, with a timeout if there is one.
    async fn with_timeout<T>(
        &self,
        patience: Option<Duration>,
        work: impl Future<Output = T>,
    ) -> Result<T, CliError> {
        let Some(patience) = patience else {
            return Ok(work.await);
        };
        let done = tokio::time::timeout(patience, work).await;
        done.map_err(|_elapsed| dial::no_response(&self.url))
    }

    fn build_request(&self, ask: &McpRequest<'_>) -> Result<Request<EgressRequestBody>, CliError> {
        let client = Implementation {
            name: "toolgate-cli".to_owned(),
            title: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let id = self.next_id.to_string();
        let meta = ModernRequestMeta {
            version: MODERN,
            capabilities: "{}",
            client: Some(&client.to_json()),
            progress_token: Some(&id),
            log_level: None,
            forwarded: None,
        };
        let meta = meta.to_json();
        let meta = String::from_utf8_lossy(&meta);
        let comma = if ask.params_members.is_empty() {
            ""
        } else {
            ","
        };
        let params = format!("{{{}{comma}\"_meta\":{meta}}}", ask.params_members);
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
        for (name, value) in &ask.mirrored_headers {
            request = request.header(name, value);
        }
        request
            .body(EgressRequestBody::full(body))
            .map_err(|error| CliError::usage(format!("cannot ask {}: {error}", self.url)))
    }

    /// Reads the response to the request: the body, or the event that holds the response.
    async fn read_response(
        &self,
        answer: Response<EgressResponseBody>,
        patience: Option<Duration>,
        notified: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<Value, CliError> {
        let kind = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let streams = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        let status = answer.status();
        let mut framer = SseDecoder::new(SseLimits::default());
        let mut whole = BytesMut::new();
        let mut body = answer.into_body();
        while let Some(frame) = self.with_timeout(patience, body.frame()).await? {
            let frame = frame.map_err(|error| self.broken_response(&error.to_string()))?;
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if !streams {
                if whole.len() + chunk.len() > MAX_RESPONSE_BYTES {
                    return Err(self.broken_response("the answer is too large"));
                }
                whole.extend_from_slice(&chunk);
                continue;
            }
            framer
                .push(&chunk)
                .map_err(|error| self.broken_response(&error.to_string()))?;
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
            return Err(self.broken_response("the stream ended before the answer"));
        }
        serde_json::from_slice(&whole).map_err(|_| self.not_a_gateway(status))
    }

    fn to_result(&self, status: StatusCode, frame: &Value) -> Result<Value, CliError> {
        if let Some(result) = frame.get("result") {
            return Ok(result.clone());
        }
        let error = frame
            .get("error")
            .map(ToString::to_string)
            .unwrap_or_default();
        let Some(error) = RpcError::parse(error.as_bytes()) else {
            return Err(self.not_a_gateway(status));
        };
        let (code, mut message) = (error.code.to_string(), error.message.to_string());
        let fact = |name: &str| error.data.as_ref()?.get(name)?.as_str();
        let refusal = fact(DATA_REFUSAL).unwrap_or_default();
        // The error for a missing resource names its URI.
        let is_unknown = [UNKNOWN_TOOL, UNKNOWN_PROMPT].contains(&refusal) || fact("uri").is_some();
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CliErrorKind::Denied,
            // Status 404 is also the response to an unknown method, which is a different error.
            StatusCode::NOT_FOUND if code != METHOD_NOT_FOUND => CliErrorKind::NotFound,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                CliErrorKind::Unavailable
            }
            _ if is_unknown => CliErrorKind::NotFound,
            _ => CliErrorKind::CallFailed,
        };
        if status == StatusCode::NOT_FOUND && kind == CliErrorKind::NotFound {
            "there is no such gateway".clone_into(&mut message);
        }
        let mut fault = CliError::new(kind, message)
            .with_note(format!("{} HTTP {status}", self.url))
            .with_note(format!("JSON-RPC code {code}"));
        if refusal == UNKNOWN_TOOL {
            fault.reason = ApiErrorReason::UnknownTool;
        }
        // The error for a rate limit that an object has names the key of the limit.
        if fact("limit").is_some() {
            fault.reason = ApiErrorReason::Limit;
        }
        if refusal == GATEWAY_DENIED {
            fault = fault
                .with_next_step("`toolgate proxies -o json` says what a proxy refuses, and why");
        }
        if kind == CliErrorKind::Denied {
            fault = fault.with_next_step("give a token for this gateway with --token, or let this command make one: leave --token out and give an admin token");
        }
        if kind == CliErrorKind::NotFound && status == StatusCode::NOT_FOUND {
            fault = fault.with_next_step("`toolgate get gateways` lists the gateways there are");
        }
        Err(fault)
    }

    /// Sends `server/discover`.
    pub async fn discover(&mut self) -> Result<(), CliError> {
        let ask = McpRequest {
            method: method::DISCOVER,
            name: None,
            params_members: String::new(),
            mirrored_headers: Vec::new(),
        };
        self.send(ask, &mut |_| {}).await.map(drop)
    }

    /// Lists all tools.
    pub async fn tools(&mut self) -> Result<Vec<Value>, CliError> {
        self.list(DefinitionKind::Tool).await
    }

    /// Lists all objects of a kind, page by page.
    pub async fn list(&mut self, kind: DefinitionKind) -> Result<Vec<Value>, CliError> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let members = match &cursor {
                Some(cursor) => format!("\"cursor\":{}", Value::String(String::clone(cursor))),
                None => String::new(),
            };
            let ask = McpRequest {
                method: kind.method(),
                name: None,
                params_members: members,
                mirrored_headers: Vec::new(),
            };
            let mut page = self.send(ask, &mut |_| {}).await?;
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
    fn not_a_gateway(&self, status: StatusCode) -> CliError {
        CliError::new(
            CliErrorKind::Unavailable,
            format!("{} answers, but not as a gateway does", self.url),
        )
        .with_note(format!("HTTP {status}"))
        .with_next_step(
            "set TOOLGATE_ENDPOINT (or --endpoint) to a proxy, or to the balancer before them: 7300 is its usual port; \
             without it the control plane is asked",
        )
    }

    fn broken_response(&self, reason: &str) -> CliError {
        CliError::new(
            CliErrorKind::Unavailable,
            format!("the answer of {} broke off: {reason}", self.url),
        )
        .with_next_step("`toolgate doctor` looks closer")
    }
}

/// Adds the next step to the error of a request that may succeed later.
fn with_retry(
    fault: CliError,
    status: StatusCode,
    retry_after: Option<u64>,
    gateway: &str,
) -> CliError {
    if fault.kind != CliErrorKind::Unavailable || fault.next_step.is_some() {
        return fault;
    }
    let again = match retry_after {
        Some(seconds) => format!("repeat the command in {seconds} s"),
        None => "repeat the command in a few seconds".to_owned(),
    };
    let step = if status != StatusCode::TOO_MANY_REQUESTS {
        format!("{again}; `toolgate doctor` looks closer")
    } else if fault.reason == ApiErrorReason::Limit {
        format!(
            "{again}; the limit is among the `rateLimits` of the gateway, of its bindings and servers, or of the token: `toolgate get \
             gateway {gateway} -o yaml` shows those of the gateway, `toolgate edit gateway {gateway}` changes them"
        )
    } else {
        format!(
            "{again}; settings of the proxy, such as `--rate-per-token`, limit each token: docs/configuration.md lists them"
        )
    };
    fault.with_next_step(step)
}

/// Returns the seconds after which a request can be repeated, if the response tells.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
