//! HTTP endpoint for both eras: receives JSON-RPC messages and responds with JSON or an event stream.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use toolgate_mcp::{
    Envelope,
    envelope::{self, MessageKind},
    era::{self, RequestEra},
    error::RpcError,
    headers::{self, ReceivedHeader, StandardHeaders},
    limits::FrameLimits,
    message::{self, CacheHints, Implementation},
    method, versions,
};
use toolgate_runtime::SharedClock;

use super::{
    slow::SlowCall,
    tool::{self, ToolCallOutcome},
};

/// Cache hints of list results.
const CACHE_HINTS: CacheHints = CacheHints {
    ttl_ms: 300_000,
    public: true,
};
const INSTRUCTIONS: &str = "Tools to try a gateway with: add, echo, slow, time.";
const CAPABILITIES: &str = "{\"tools\":{}}";
/// Maximum number of concurrent slow calls. Further calls are rejected.
const MAX_RUNNING_CALLS: usize = 1000;

/// State of the server: its clock, and the slow calls that can be cancelled.
#[derive(Clone)]
pub struct DemoServer {
    clock: SharedClock,
    running_calls: Arc<Mutex<BTreeMap<String, CancellationToken>>>,
}

/// Removes the entry of a slow call when the call ends for any reason.
struct RunningCallGuard {
    demo: DemoServer,
    id: String,
}

impl Drop for RunningCallGuard {
    fn drop(&mut self) {
        self.demo.running_calls().remove(&self.id);
    }
}

impl DemoServer {
    /// Creates a server without running calls.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            running_calls: Arc::default(),
        }
    }

    fn running_calls(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        self.running_calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles one POST request.
pub async fn receive(State(demo): State<DemoServer>, headers: HeaderMap, body: Bytes) -> Response {
    let envelope = match envelope::parse(&body, &FrameLimits::REQUEST) {
        Ok(envelope) => envelope,
        Err(error) => {
            return error_response(
                StatusCode::BAD_REQUEST,
                &error.to_rpc(),
                error.id.as_deref(),
            );
        }
    };
    let session = headers.contains_key(headers::SESSION);
    let modern = match era::classify(
        received_header(&headers, headers::VERSION),
        session,
        &envelope,
    ) {
        RequestEra::Modern => true,
        RequestEra::Legacy { .. } => false,
        RequestEra::Unsupported { requested } | RequestEra::BadVersion { requested } => {
            let error = RpcError::unsupported_version(&requested, &versions::ALL);
            return error_response(StatusCode::BAD_REQUEST, &error, id(&envelope));
        }
    };
    if modern && let Err(error) = check_modern(&headers, &envelope) {
        return error_response(StatusCode::BAD_REQUEST, &error, id(&envelope));
    }
    match envelope.kind {
        MessageKind::Request => demo.handle_request(&envelope, modern),
        MessageKind::Notification => {
            demo.handle_notification(&envelope);
            StatusCode::ACCEPTED.into_response()
        }
        MessageKind::Response => StatusCode::ACCEPTED.into_response(),
    }
}

impl DemoServer {
    fn handle_request(&self, envelope: &Envelope<'_>, modern: bool) -> Response {
        let result = match (envelope.method(), modern) {
            (method::INITIALIZE, false) => {
                let requested = envelope
                    .params
                    .as_ref()
                    .and_then(|params| params.protocol_version.as_ref());
                let version =
                    versions::negotiate(requested.map_or("", |requested| requested.as_str()));
                message::initialize_result(version, CAPABILITIES, &server_identity(), INSTRUCTIONS)
            }
            (method::PING, false) => "{}".to_owned(),
            (method::DISCOVER, true) => message::discover_result(
                &[versions::MODERN],
                CAPABILITIES,
                &server_identity(),
                INSTRUCTIONS,
                CACHE_HINTS,
            ),
            (method::TOOLS_LIST, modern) => list(modern),
            (method::TOOLS_CALL, modern) => return self.call_tool(envelope, modern),
            (unknown, modern) => {
                let status = if modern {
                    StatusCode::NOT_FOUND
                } else {
                    StatusCode::OK
                };
                return error_response(status, &RpcError::method_not_found(unknown), id(envelope));
            }
        };
        json_response(message::response(id(envelope).unwrap_or("null"), &result))
    }

    fn call_tool(&self, envelope: &Envelope<'_>, modern: bool) -> Response {
        let params = envelope.params.as_ref();
        let name = params
            .and_then(|params| params.name.as_ref())
            .map_or("", |name| name.as_str());
        let arguments = params.and_then(|params| params.arguments);
        let arguments: Value = arguments
            .and_then(|span| serde_json::from_slice(span.of(envelope.source)).ok())
            .unwrap_or_else(|| json!({}));
        let finish = if modern {
            modern_result
        } else {
            std::convert::identity
        };
        let id = id(envelope).unwrap_or("null");
        match tool::call(name, &arguments, self.clock.now()) {
            ToolCallOutcome::Done(result) => {
                json_response(message::response(id, &finish(result).to_string()))
            }
            ToolCallOutcome::Unknown => {
                let error = RpcError::invalid_params(format!("Unknown tool: {name}"));
                let status = if modern {
                    StatusCode::BAD_REQUEST
                } else {
                    StatusCode::OK
                };
                error_response(status, &error, Some(id))
            }
            ToolCallOutcome::Slow(steps) => {
                let token = envelope
                    .meta()
                    .and_then(|meta| meta.progress_token.as_ref());
                let progress_token = token.map(|token| token.raw.to_string());
                let cancelled = CancellationToken::new();
                let Some(running) = self.register_call(id, cancelled.clone()) else {
                    let error = RpcError::internal("too many slow calls at once; try again later");
                    return error_response(StatusCode::SERVICE_UNAVAILABLE, &error, Some(id));
                };
                stream_response(
                    SlowCall {
                        steps,
                        id: id.to_owned(),
                        progress_token,
                        cancelled,
                        finish,
                    },
                    running,
                )
            }
        }
    }

    fn register_call(&self, id: &str, cancelled: CancellationToken) -> Option<RunningCallGuard> {
        let mut running = self.running_calls();
        if running.len() >= MAX_RUNNING_CALLS {
            return None;
        }
        running.insert(id.to_owned(), cancelled);
        Some(RunningCallGuard {
            demo: self.clone(),
            id: id.to_owned(),
        })
    }

    /// Handles the cancellation of a slow call. All other notifications are ignored.
    fn handle_notification(&self, envelope: &Envelope<'_>) {
        let id = envelope
            .params
            .as_ref()
            .and_then(|params| params.request_id.as_ref());
        if let (method::CANCELLED, Some(id)) = (envelope.method(), id)
            && let Some(call) = self.running_calls().get(id.raw)
        {
            call.cancel();
        }
    }
}

fn check_modern(headers: &HeaderMap, envelope: &Envelope<'_>) -> Result<(), RpcError> {
    let standard = StandardHeaders {
        version: received_header(headers, headers::VERSION),
        method: received_header(headers, headers::METHOD),
        name: received_header(headers, headers::NAME),
    };
    headers::check(&standard, envelope)
        .map_err(|mismatch| RpcError::header_mismatch(mismatch.to_string()))?;
    match envelope.kind {
        MessageKind::Request => era::check_meta(envelope),
        MessageKind::Notification | MessageKind::Response => Ok(()),
    }
}

fn list(modern: bool) -> String {
    let tools = tool::definitions().map(|tool| tool.to_string());
    let tail = if modern {
        message::modern_members(&server_identity(), Some(CACHE_HINTS))
    } else {
        String::new()
    };
    message::list_page("tools", tools.iter().map(String::as_str), None, &tail)
}

fn modern_result(mut result: Value) -> Value {
    let tail = format!("{{{}}}", message::modern_members(&server_identity(), None));
    let tail: Value = serde_json::from_str(&tail).unwrap_or_default();
    if let (Some(result), Value::Object(tail)) = (result.as_object_mut(), tail) {
        result.extend(tail);
    }
    result
}

fn server_identity() -> Implementation {
    Implementation {
        name: "toolgate-demo".to_owned(),
        title: "Toolgate demo".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn id<'a>(envelope: &'a Envelope<'_>) -> Option<&'a str> {
    envelope.id.as_ref().map(|id| id.raw)
}

fn received_header<'a>(headers: &'a HeaderMap, name: &str) -> ReceivedHeader<'a> {
    ReceivedHeader::of(headers.get_all(name).iter().map(HeaderValue::as_bytes))
}

fn json_response(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn error_response(status: StatusCode, error: &RpcError, id: Option<&str>) -> Response {
    (status, json_response(error.to_bytes(id))).into_response()
}

fn stream_response(work: SlowCall, running: RunningCallGuard) -> Response {
    let events = work.events().map(move |event| {
        // The entry lives as long as the stream.
        let _running = &running;
        Ok::<_, std::convert::Infallible>(event)
    });
    let kind = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (kind, Body::from_stream(events)).into_response()
}
