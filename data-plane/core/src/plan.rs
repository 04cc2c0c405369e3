//! Planning of requests. Authorization, renaming and the differences between the protocol eras are decided here and
//! nowhere else. Lists are filtered in `view/list.rs`, by the rule that also decides calls: the grant of `authn/grant.rs`.

pub mod list_cursor;
pub mod route;

mod builtin_tools;
mod call;
mod continuation;
mod era_independent;
mod find;
mod legacy;
mod listen;
mod lists;
mod modern;
mod target;
mod task;

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{Envelope, RequestEra, headers, trace::TraceContext};
use toolgate_model::Timestamp;

use crate::{
    Caller, ClientStateCipher, GatewayView, Refusal,
    segmented_bytes::SegmentedBytes,
    session::{
        LogLevel,
        session_id::{ClientCapabilities, SessionClaims},
    },
};

pub use call::{CallPlan, CallSpans, CallTrace, ClientProtocol};
pub use continuation::{ContinuationRequest, ReturnedState, UrlElicitationResult};
pub use listen::ListenPlan;
pub use target::{CompletionTarget, RequestTarget, ResourceTarget};
pub use task::{TaskTarget, may_follow};

/// Input of [`plan`].
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// Routed gateway.
    pub gateway: &'a Arc<GatewayView>,
    /// Authenticated caller.
    pub caller: &'a Caller,
    /// Request to decide on.
    pub request: EndpointRequest<'a>,
    /// Trace that the request belongs to.
    pub trace: Option<TraceContext<'a>>,
    /// Legacy session named by the request. Ignored for modern requests.
    pub session: SessionLookup<'a>,
    /// Cipher of state that clients hold for the gateway.
    pub cipher: &'a ClientStateCipher,
    /// Time of the request.
    pub now: Timestamp,
}

/// Request by HTTP method.
#[derive(Debug, Clone, Copy)]
pub enum EndpointRequest<'a> {
    /// POST of a message.
    Post(PostedMessage<'a>),
    /// GET: opens a stream of server messages.
    Get {
        /// Result of `classify_bodiless`.
        era: &'a RequestEra,
    },
    /// DELETE: terminates a session.
    Delete {
        /// Result of `classify_bodiless`.
        era: &'a RequestEra,
    },
}

/// Posted JSON-RPC message with its headers.
#[derive(Debug, Clone, Copy)]
pub struct PostedMessage<'a> {
    /// Result of `classify`.
    pub era: &'a RequestEra,
    /// Parsed message.
    pub envelope: &'a Envelope<'a>,
    /// Standard MCP headers.
    pub headers: headers::StandardHeaders<'a>,
    /// All `Mcp-Param-*` headers: name in lower case including the prefix, and value. Used for modern requests only.
    pub params: &'a [(&'a str, &'a [u8])],
}

/// Result of looking up the session named by the `Mcp-Session-Id` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionLookup<'a> {
    /// The header is missing.
    Absent,
    /// The id is not valid for this caller and gateway, or its session is over.
    Unknown,
    /// The id names this session.
    Valid(&'a SessionClaims),
}

/// Decision on a request.
#[derive(Debug)]
pub enum Plan {
    /// Send this response: status 200, JSON.
    Respond(SegmentedBytes),
    /// Open a session, mint its id, and send the contained response.
    Initialize(InitializePlan),
    /// Call a server.
    Call(Arc<CallPlan>),
    /// The client is ready to receive server messages. Status 202, no body.
    Initialized,
    /// Nothing to do. Status 202, no body.
    Accept,
    /// Store the log level of this session, then send this response: status 200, JSON.
    SetLevel(LogLevel, SegmentedBytes),
    /// Open the session's stream.
    OpenStream,
    /// Subscribe this session to updates of this resource if its server agrees, then send this response: status 200,
    /// JSON.
    Subscribe(ResourceTarget, SegmentedBytes),
    /// Unsubscribe this session from the resource with this exposed URI, then send this response: status 200, JSON.
    Unsubscribe(Box<str>, SegmentedBytes),
    /// Open a subscription stream for as long as the client listens.
    Listen(ListenPlan),
    /// End the session. Status 200, no body.
    CloseSession,
    /// Cancel the session's in-flight request with this id (JSON literal as written). Status 202, no body.
    Cancel(Box<str>),
    /// Deliver the client's response to the server request with this id (JSON literal as written). Status 202, no
    /// body.
    DeliverResponse(Box<str>),
    /// Reject the request.
    Refuse(Refusal),
}

/// Session to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializePlan {
    /// Negotiated protocol version.
    pub version: &'static str,
    /// Capabilities declared by the client.
    pub capabilities: ClientCapabilities,
    /// Response to `initialize`.
    pub answer: SegmentedBytes,
}

/// Decides what to do with a request.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    try_plan(input).unwrap_or_else(Plan::Refuse)
}

fn try_plan(input: &PlanInput<'_>) -> Result<Plan, Refusal> {
    if let Some(denial) = &input.gateway.denied {
        return Err(denial.refusal());
    }
    match input.request {
        EndpointRequest::Post(post) => match post.era {
            RequestEra::Modern => modern::post(input, &post),
            RequestEra::Unsupported { requested } => {
                Err(Refusal::UnsupportedVersion(requested.clone()))
            }
            RequestEra::Legacy { .. } => legacy::post(input, post.envelope),
            RequestEra::BadVersion { .. } => Err(Refusal::LegacyVersion),
        },
        EndpointRequest::Get { era } => {
            legacy::check_bodiless(input, era).map(|()| Plan::OpenStream)
        }
        EndpointRequest::Delete { era } => {
            legacy::check_bodiless(input, era).map(|()| Plan::CloseSession)
        }
    }
}

/// Checks that a notification may be accepted; its meaning depends on the era. A notification with the method of a
/// request is a request that lacks its `id`.
fn check_notification(envelope: &Envelope<'_>) -> Result<(), Refusal> {
    if envelope.method().starts_with("notifications/") {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(
        "this method is a request: it needs an `id`",
    ))
}

/// Start of a successful response, up to its result.
fn response_head(envelope: &Envelope<'_>) -> Result<Bytes, Refusal> {
    let id = envelope.raw_id().ok_or(Refusal::Internal)?;
    Ok(Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":"
    )))
}

/// Successful response with this result.
fn result_response(envelope: &Envelope<'_>, result: Bytes) -> Result<SegmentedBytes, Refusal> {
    let end = Bytes::from_static(b"}");
    Ok(SegmentedBytes::join([
        response_head(envelope)?,
        result,
        end,
    ]))
}

#[cfg(test)]
mod tests;
