//! A small, fast MCP server used as upstream: plain JSON, both eras, no state except a session counter. Implements only
//! what the benchmarks need.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::body::read_to_end;

const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const FILLER: &[u8] = b"The quick brown fox jumps over the lazy dog; pack my box with jugs. ";

type UpstreamBody = BoxBody<Bytes, Infallible>;

/// Options of the server.
#[derive(Clone, Copy, Debug)]
pub struct BenchServerOptions {
    /// Number of tools to list, including `echo` and `big`.
    pub tools: usize,
    /// True to support versions up to 2025-11-25 only.
    pub legacy: bool,
}

struct Server {
    legacy: bool,
    list: String,
    sessions: AtomicU64,
}

#[derive(Deserialize)]
struct RpcMessage<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct RequestParams<'a> {
    #[serde(borrow)]
    name: Option<&'a str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "protocolVersion")]
    version: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct ToolArguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    bytes: Option<usize>,
}

/// Returns the tools as a JSON array.
fn tools(count: usize) -> String {
    let mut tools = vec![
        r#"{"name":"echo","description":"Returns the text it is given","inputSchema":{"type":"object","properties":{"text":{"type":"string","description":"Text to return"}},"required":["text"]}}"#.to_owned(),
        r#"{"name":"big","description":"Returns that many bytes of text","inputSchema":{"type":"object","properties":{"bytes":{"type":"integer","minimum":0}},"required":["bytes"]}}"#.to_owned(),
    ];
    tools.extend((tools.len()..count).map(|kind| {
        format!(
            r#"{{"name":"tool_{kind:03}","title":"Filler tool {kind}","description":"Searches records of kind {kind} and returns those that match the filter, newest first. Use it when the user asks about kind {kind}.","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string","description":"Full-text query"}},"limit":{{"type":"integer","minimum":1,"maximum":100,"default":20}},"order":{{"type":"string","enum":["asc","desc"]}},"tags":{{"type":"array","items":{{"type":"string"}}}}}},"required":["query"]}},"annotations":{{"readOnlyHint":true}}}}"#
        )
    }));
    format!("[{}]", tools.join(","))
}

fn full(status: StatusCode, body: impl Into<Bytes>) -> Response<UpstreamBody> {
    let mut answer = Response::new(Full::new(body.into()).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

impl Server {
    /// Returns the response to one message, and `true` if it was `initialize`; `None` for a notification.
    fn answer(&self, message: &[u8], modern: bool) -> Option<(Vec<u8>, bool)> {
        let frame: RpcMessage<'_> = serde_json::from_slice(message).ok()?;
        let (id, method) = (frame.id?, frame.method?);
        let params: RequestParams<'_> = frame
            .params
            .and_then(|p| serde_json::from_str(p.get()).ok())
            .unwrap_or_default();
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        out.extend_from_slice(id.get().as_bytes());
        match method {
            "tools/call" => call(&params, modern, &mut out),
            "tools/list" => {
                let rest = if modern { hints() } else { "" };
                let result = format!(r#","result":{{"tools":{}{rest}}}"#, self.list);
                out.extend_from_slice(result.as_bytes());
            }
            "server/discover" if modern => out.extend_from_slice(discovery().as_bytes()),
            "initialize" => {
                let asked = params.version.filter(|version| LEGACY.contains(version));
                let version = asked.unwrap_or(LEGACY[0]);
                let result = format!(
                    r#","result":{{"protocolVersion":"{version}","capabilities":{{"tools":{{"listChanged":true}}}},"serverInfo":{{"name":"bench","version":"1"}}}}"#
                );
                out.extend_from_slice(result.as_bytes());
            }
            "ping" => out.extend_from_slice(br#","result":{}"#),
            _ => out.extend_from_slice(br#","error":{"code":-32601,"message":"not here"}"#),
        }
        out.push(b'}');
        Some((out, method == "initialize"))
    }

    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<UpstreamBody>> {
        let version = request.headers().get("mcp-protocol-version");
        let modern = !self.legacy && version.is_some_and(|version| version == MODERN);
        if self.legacy && version.is_some_and(|version| version == MODERN) {
            return Ok(full(StatusCode::BAD_REQUEST, ""));
        }
        match *request.method() {
            Method::POST => {
                let body = read_to_end(request.into_body()).await?;
                let Some((answer, opened)) = self.answer(&body, modern) else {
                    return Ok(full(StatusCode::ACCEPTED, ""));
                };
                let mut answer = full(StatusCode::OK, answer);
                if opened {
                    let number = self.sessions.fetch_add(1, Ordering::Relaxed);
                    let id = HeaderValue::from_str(&format!("bench-{number:016x}"))?;
                    answer.headers_mut().insert("mcp-session-id", id);
                }
                Ok(answer)
            }
            Method::GET => Ok(idle_event_stream()),
            Method::DELETE => Ok(full(StatusCode::OK, "")),
            _ => Ok(full(StatusCode::METHOD_NOT_ALLOWED, "")),
        }
    }
}

/// Returns an event stream without events that stays open until the client disconnects.
fn idle_event_stream() -> Response<UpstreamBody> {
    let nothing = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let mut answer = Response::new(BoxBody::new(StreamBody::new(nothing)));
    answer.headers_mut().insert(CONTENT_TYPE, EVENTS);
    answer
}

fn hints() -> &'static str {
    r#","resultType":"complete","ttlMs":60000,"cacheScope":"public""#
}

fn discovery() -> String {
    let hints = hints();
    format!(
        r#","result":{{"supportedVersions":["{MODERN}","{}"],"capabilities":{{"tools":{{"listChanged":true}}}}{hints},"_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"bench","version":"1"}}}}}}"#,
        LEGACY[0]
    )
}

fn call(params: &RequestParams<'_>, modern: bool, out: &mut Vec<u8>) {
    let arguments: ToolArguments<'_> = params
        .arguments
        .and_then(|a| serde_json::from_str(a.get()).ok())
        .unwrap_or_default();
    let head = br#","result":{"content":[{"type":"text","text":"#;
    match params.name {
        Some("echo") => {
            out.extend_from_slice(head);
            out.extend_from_slice(arguments.text.map_or("\"\"", RawValue::get).as_bytes());
        }
        Some("big") => {
            let wanted = arguments.bytes.unwrap_or(1 << 20);
            out.reserve(wanted + 256);
            out.extend_from_slice(head);
            out.push(b'"');
            let end = out.len() + wanted;
            while out.len() < end {
                let part = FILLER.len().min(end - out.len());
                out.extend_from_slice(&FILLER[..part]);
            }
            out.push(b'"');
        }
        _ => {
            out.extend_from_slice(br#","error":{"code":-32602,"message":"unknown tool"}"#);
            return;
        }
    }
    let tail: &[u8] = if modern {
        br#"}],"isError":false,"resultType":"complete"}"#
    } else {
        br#"}],"isError":false}"#
    };
    out.extend_from_slice(tail);
}

/// Serves `count` identical servers on consecutive ports until the process ends.
pub async fn serve(first: SocketAddr, count: u16, options: BenchServerOptions) -> Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let address = SocketAddr::new(first.ip(), first.port() + number);
        let listener = TcpListener::bind(address).await?;
        let server = Arc::new(Server {
            legacy: options.legacy,
            list: tools(options.tools),
            sessions: AtomicU64::new(1),
        });
        tasks.spawn(accept(listener, server));
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        let server = Arc::clone(&server);
        connections.spawn(async move {
            let service = service_fn(move |request| Arc::clone(&server).serve(request));
            let http = hyper::server::conn::http1::Builder::new();
            // A closed client connection is not an error.
            drop(http.serve_connection(TokioIo::new(socket), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}
