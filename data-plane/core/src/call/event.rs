//! Events of a call: what the server, the client, the timers and the driver report to
//! [`CallMachine`](super::CallMachine).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use toolgate_model::Timestamp;

use super::{elicitation::ElicitationId, retry::PingOutcome};
use crate::{plan::CallPlan, refusal::UpstreamFailure, session::LogLevel};

/// Time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTime {
    /// Monotonic time since the call began: rate limits and batches use it.
    pub elapsed: Duration,
    /// Wall clock: deadlines of elicitations and credentials use it.
    pub wall: Timestamp,
}

/// Input of [`CallMachine`](super::CallMachine).
#[derive(Debug, Clone)]
pub enum CallEvent {
    /// The head of the server's response arrived, or there will be none.
    UpstreamHead(UpstreamHead),
    /// A message of the server: an event of the call's stream or of its session's shared stream, or the whole document.
    UpstreamMessage(Bytes),
    /// The response ended before the answer of the call.
    UpstreamEnd(UpstreamEnd),
    /// Result of [`CallEffect::ProbeSession`](super::CallEffect::ProbeSession).
    SessionProbed(PingOutcome),
    /// Result of [`CallEffect::AskClient`](super::CallEffect::AskClient): an id for each elicitation; `None` where the client
    /// cannot be asked.
    Registered(Vec<Option<ElicitationId>>),
    /// Result of [`CallEffect::Encrypt`](super::CallEffect::Encrypt): the encrypted text; `None` if it cannot be encrypted.
    Encrypted(Option<String>),
    /// [`CallEffect::Suspend`](super::CallEffect::Suspend) failed: there is no room for another suspended call.
    SuspensionRefused,
    /// The client of a suspended call came back.
    Continued(ContinuedCall),
    /// The client answered an elicitation with this frame.
    ElicitationResponse(ElicitationId, Bytes),
    /// The client closed the stream of the call.
    ClientDisconnected,
    /// The client cancelled the call, or its credential was revoked.
    Cancel,
    /// The time that [`CallMachine::wait`](super::CallMachine::wait) named has passed.
    Deadline,
    /// The proxy drains.
    Drain,
}

/// Head of a response, or the reason why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamHead {
    /// The server responded.
    Response {
        /// JSON-RPC id that the request was sent with.
        id: u64,
        /// HTTP status.
        status: u16,
        /// `true` if the request was sent in a session that the server had assigned.
        in_session: bool,
        /// Kind of the body.
        body: BodyKind,
    },
    /// There is no response.
    Failed {
        /// Reason.
        failure: UpstreamFailure,
        /// `true` if no connection could be made, so that no byte of the request was sent and a retry may help.
        retryable: bool,
    },
    /// The stream that carries the upstream session has ended, so that nothing was sent.
    SessionEnded,
}

/// Kind of a response body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// A JSON document.
    Document,
    /// Server-sent events.
    Stream,
    /// None: the server accepted the message and sends no answer.
    Empty,
    /// Neither of these.
    Other,
}

/// End of a response without the answer of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamEnd {
    /// The stream ended or broke off. It may be possible to resume it.
    Interrupted(UpstreamFailure),
    /// Nothing more can be read.
    Failed(UpstreamFailure),
}

/// A retry that continues a suspended call.
#[derive(Debug, Clone)]
pub struct ContinuedCall {
    /// Plan of the retry, which replaces the plan of the first request.
    pub plan: Arc<CallPlan>,
    /// Minimum severity of log messages that the client gets.
    pub log_level: Option<LogLevel>,
    /// The object `inputResponses`.
    pub responses: Bytes,
}
