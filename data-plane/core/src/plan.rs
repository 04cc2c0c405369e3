//! What to do with a request: the heart of the data plane. Authorization, renaming, filtering and the differences
//! between the eras are decided here and nowhere else.

mod call;
mod find;
mod legacy;
mod listen;
mod lists;
mod modern;
mod own;
mod retry;
mod served;
mod target;
mod task;

use std::sync::Arc;

use bytes::Bytes;
use toolgate_mcp::{Envelope, Framing, headers, trace::Trace};
use toolgate_model::Timestamp;

use crate::{
    Caller, GatewayView, Refusal, Sealer,
    parts::Parts,
    session::LogLevel,
    session_id::{ClientCapabilities, SessionFacts},
};

pub use call::{CallPlan, CallSpans, CallTrace, ClientSide};
pub use listen::Listen;
pub use retry::{Retry, Returned, Visited};
pub use target::{CompletionTarget, ResourceTarget, Target};
pub use task::{TaskTarget, may_follow};

/// All that a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The gateway that was routed to.
    pub gateway: &'a Arc<GatewayView>,
    /// Who is calling.
    pub caller: &'a Caller,
    /// What is asked.
    pub ask: Ask<'a>,
    /// The trace that the request belongs to.
    pub trace: Option<Trace<'a>>,
    /// The legacy session that the request names. Not looked at by modern rules.
    pub session: Presented<'a>,
    /// For what clients hold for us.
    pub sealer: &'a Sealer,
    /// When it is asked.
    pub now: Timestamp,
}

/// What is asked, by HTTP method.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// A message.
    Post(Post<'a>),
    /// A stream for what the server has to say.
    Get {
        /// From `classify_bodiless`.
        framing: &'a Framing,
    },
    /// The end of a session.
    Delete {
        /// From `classify_bodiless`.
        framing: &'a Framing,
    },
}

/// A posted message.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    /// From `classify`.
    pub framing: &'a Framing,
    /// The message.
    pub envelope: &'a Envelope<'a>,
    /// MCP's own headers.
    pub headers: headers::Standard<'a>,
    /// All `Mcp-Param-*` headers: lower-case name, prefix included, and value. Only modern rules look at them.
    pub params: &'a [(&'a str, &'a [u8])],
}

/// What the session header was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// There was none.
    Absent,
    /// It opened nothing for this caller and gateway, or its session is over.
    Unknown,
    /// It is this session.
    Open(&'a SessionFacts),
}

/// What to do.
#[derive(Debug)]
pub enum Plan {
    /// Send this, status 200, JSON.
    Answer(Parts),
    /// Open a session, mint its id, send this with it.
    Initialize(Initialize),
    /// Call a server.
    Call(Arc<CallPlan>),
    /// The client is ready for what the server has to say. Status 202, no body.
    Initialized,
    /// Nothing to do. Status 202, no body.
    Accept,
    /// Remember the level for this session, then send this, status 200, JSON.
    SetLevel(LogLevel, Parts),
    /// Open the session's stream.
    OpenStream,
    /// Tell this session of updates of this resource from now on, if its server agrees; then send this, status 200, JSON.
    Subscribe(ResourceTarget, Parts),
    /// Tell it no longer of updates of the resource that it knows by this URI, then send this, status 200, JSON.
    Unsubscribe(Box<str>, Parts),
    /// Open a stream of changes, for as long as the client listens.
    Listen(Listen),
    /// End the session. Status 200, no body.
    CloseSession,
    /// Cancel the session's request of this id (the literal as written), if it is in flight. Status 202, no body.
    Cancel(Box<str>),
    /// The client answers the question whose id this is (the literal as written). Status 202, no body.
    Hear(Box<str>),
    /// Do nothing but say why.
    Refuse(Refusal),
}

/// A session to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialize {
    /// What was negotiated.
    pub version: &'static str,
    /// What the client can do.
    pub capabilities: ClientCapabilities,
    /// The answer.
    pub answer: Parts,
}

/// Decides.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    decide(input).unwrap_or_else(Plan::Refuse)
}

fn decide(input: &PlanInput<'_>) -> Result<Plan, Refusal> {
    if input.gateway.denied.is_some() {
        return Err(Refusal::GatewayDenied);
    }
    match input.ask {
        Ask::Post(post) => match post.framing {
            Framing::Modern => modern::post(input, &post),
            Framing::Unsupported { requested } => {
                Err(Refusal::UnsupportedVersion(requested.clone()))
            }
            Framing::Legacy { .. } => legacy::post(input, post.envelope),
            Framing::BadVersion { .. } => Err(Refusal::LegacyVersion),
        },
        Ask::Get { framing } => legacy::bodiless(input, framing).map(|()| Plan::OpenStream),
        Ask::Delete { framing } => legacy::bodiless(input, framing).map(|()| Plan::CloseSession),
    }
}

/// Whether a notification may be accepted; what it means is for its era to say. One that has the method of a request is
/// a request whose sender forgot the id.
fn notification(envelope: &Envelope<'_>) -> Result<(), Refusal> {
    if envelope.method().starts_with("notifications/") {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(
        "this method is a request: it needs an `id`",
    ))
}

/// The start of a good answer, up to its result.
fn head(envelope: &Envelope<'_>) -> Result<Bytes, Refusal> {
    let id = envelope.raw_id().ok_or(Refusal::Internal)?;
    Ok(Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":"
    )))
}

/// A good answer.
fn answer(envelope: &Envelope<'_>, result: Bytes) -> Result<Parts, Refusal> {
    let end = Bytes::from_static(b"}");
    Ok(Parts::join([head(envelope)?, result, end]))
}

#[cfg(test)]
mod tests;
