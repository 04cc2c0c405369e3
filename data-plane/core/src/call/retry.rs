//! Retry policy of a call (as `should_retry` or `retry_on` of other proxies): [`RetryPolicy`]. A call is sent at most twice
//! per round, and the second time only if the first attempt provably did not run: no connection could be made, the session
//! had ended before it was sent, or a legacy server refuses a ping in the same session with the same HTTP status, so that it
//! refuses the session before it looks at the message. All decisions to send the message of a round once more are made here;
//! `is_retryable` of `data-plane/upstream` judges the error of a connection.
//!
//! The following are not retries, and are decided elsewhere:
//!
//! - the return of a client to a suspended call, and the next round of a call (`machine/client.rs`)
//! - a request that did not reach the peer that owns its state, and is served here (`pipeline.rs` of the data plane)
//! - a call that goes on to the next endpoint of its server, because no connection to the first could be made (`send.rs` of
//!   `data-plane/upstream`)
//! - a request that the connection pool of `shared/egress` takes to another connection, because nothing of it was sent

use bytes::Bytes;
use toolgate_mcp::error::codes;

use crate::refusal::UpstreamFailure;

/// Session that a retry is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetrySession {
    /// The session of the first attempt.
    Same,
    /// A new session in place of the forgotten one.
    New,
}

/// `inputResponses` and `requestState` that a call to a modern server is sent again with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputResponses {
    /// `inputResponses`; `None` if nothing was requested.
    pub responses: Option<Bytes>,
    /// `requestState`: the JSON string as the server wrote it.
    pub state: Option<Box<str>>,
}

/// Refusal of a request in an established upstream session. It may concern the request, or the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRefusal {
    /// HTTP status of 4xx or 5xx.
    Status(u16),
    /// Code of a JSON-RPC error with a status of success.
    Error(i64),
}

/// Outcome of a ping in a session in which a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingOutcome {
    /// The server answered the ping.
    Answered,
    /// The server refused the ping.
    Refused(SessionRefusal),
    /// The stream that carries the session has ended.
    StreamEnded,
    /// There is no response.
    NoResponse,
}

/// State of an upstream session after a request in it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionVerdict {
    /// The session stands: the refusal concerns the request.
    Usable,
    /// The session is of no more use, and the refused request did not run.
    NotExecuted,
    /// The session is of no more use. The refused request may have run.
    Unusable,
}

/// Judges a session by the refusal of a request and by a ping after it.
pub fn session_verdict(refusal: SessionRefusal, ping: PingOutcome) -> SessionVerdict {
    let refused = match ping {
        PingOutcome::StreamEnded => return SessionVerdict::Unusable,
        PingOutcome::Answered | PingOutcome::NoResponse => return SessionVerdict::Usable,
        PingOutcome::Refused(refused) => refused,
    };
    let is_same = refusal == refused;
    match refused {
        SessionRefusal::Status(status) if is_client_error(status) && is_same => {
            SessionVerdict::NotExecuted
        }
        SessionRefusal::Status(status) if is_client_error(status) || is_same => {
            SessionVerdict::Unusable
        }
        SessionRefusal::Error(code) if is_same && code != codes::METHOD_NOT_FOUND => {
            SessionVerdict::Unusable
        }
        SessionRefusal::Status(_) | SessionRefusal::Error(_) => SessionVerdict::Usable,
    }
}

/// Next step after an attempt that failed: a retry if it did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryStep {
    /// Send the call again.
    Retry(RetrySession),
    /// Give up.
    Fail(UpstreamFailure),
}

/// Retry policy of one round: one retry at most.
#[derive(Debug, Default)]
pub(super) struct RetryPolicy {
    retried: bool,
}

impl RetryPolicy {
    /// Decides on a retry of a call for which no connection could be made.
    pub(super) fn retry_unsent(&mut self) -> RetryStep {
        match std::mem::replace(&mut self.retried, true) {
            false => RetryStep::Retry(RetrySession::Same),
            true => RetryStep::Fail(UpstreamFailure::Unreachable),
        }
    }

    /// Decides on a retry of a refused call after a ping in its session. A session is replaced once.
    pub(super) fn retry_after_ping(&mut self, verdict: SessionVerdict) -> ProbeStep {
        match verdict {
            SessionVerdict::Usable => ProbeStep::Continue,
            SessionVerdict::NotExecuted => match std::mem::replace(&mut self.retried, true) {
                false => ProbeStep::Replace,
                true => ProbeStep::Fail,
            },
            SessionVerdict::Unusable => ProbeStep::Discard,
        }
    }
}

/// Next step after a ping in the session of a refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeStep {
    /// The response stands.
    Continue,
    /// Send the call again in a new session.
    Replace,
    /// The response stands, and the next call opens a new session.
    Discard,
    /// Give up: the call was sent twice, and the session of the second attempt is refused too.
    Fail,
}

/// Reports if a response with this status is held back until the session is probed. Servers refuse unknown sessions
/// before they look at the message, the specification has it with 404, others with 400, 401 or 410.
pub(super) fn may_refuse_session(status: u16, in_session: bool) -> bool {
    in_session && is_client_error(status)
}

/// Returns the refusal after which a session is probed in the background, if the response is one. The call is not
/// repeated, so that its response does not wait for the ping. With a status of 4xx the session was
/// probed before, or the status says nothing of the session.
pub(super) fn refusal_to_probe(
    status: u16,
    is_answered: bool,
    error: Option<i64>,
) -> Option<SessionRefusal> {
    match status {
        200..=299 => error.map(SessionRefusal::Error),
        504 => None,
        500..=599 if error.is_some() || !is_answered => Some(SessionRefusal::Status(status)),
        _ => None,
    }
}

/// Returns `true` for a status by which servers reject requests without running them. It proves that for one request only
/// together with a ping that is refused alike. 407 is of a proxy, 408 and 429 are about time.
fn is_client_error(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 407 | 408 | 429)
}

#[cfg(test)]
mod tests;
