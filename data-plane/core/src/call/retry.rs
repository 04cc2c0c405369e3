//! Retries of a call. A call is sent at most twice per round, and the second time only if the first attempt provably
//! did not run: no connection could be made, the session had ended before it was sent, or a legacy server does not know
//! the session, which it says before it looks at the message. All decisions to send a call that may have left the proxy
//! once more are made here. Below them, the connection pool of `shared/egress` moves a request to another connection if it
//! was provably not sent.

use bytes::Bytes;

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

/// Next step after an attempt that did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryStep {
    /// Send the call again.
    Retry(RetrySession),
    /// Probe the session first.
    Probe,
    /// Give up.
    Fail(UpstreamFailure),
}

/// Attempts of one round.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    retried: bool,
}

impl RetryState {
    /// No connection could be made.
    pub(super) fn not_sent(&mut self) -> RetryStep {
        match std::mem::replace(&mut self.retried, true) {
            false => RetryStep::Retry(RetrySession::Same),
            true => RetryStep::Fail(UpstreamFailure::Unreachable),
        }
    }

    /// The server does not know the session, or so it seems: a 404 may come from anything behind the server, so that
    /// the call may have run. A probe in the same session tells the two apart.
    pub(super) fn session_unknown(&self) -> RetryStep {
        match self.retried {
            false => RetryStep::Probe,
            true => RetryStep::Fail(UpstreamFailure::SessionLost),
        }
    }

    /// The session was probed.
    pub(super) fn probed(&mut self, known: bool) -> RetryStep {
        if known {
            return RetryStep::Fail(UpstreamFailure::Status);
        }
        match std::mem::replace(&mut self.retried, true) {
            false => RetryStep::Retry(RetrySession::New),
            true => RetryStep::Fail(UpstreamFailure::SessionLost),
        }
    }
}

/// Reports if a status may say that the server does not know the session. Legacy servers say so with 404 before they
/// look at the message.
pub(super) fn says_session_unknown(status: u16, in_session: bool) -> bool {
    in_session && status == 404
}

#[cfg(test)]
mod tests;
