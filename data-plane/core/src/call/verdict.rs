//! Verdicts on a response: what it says of the health of its server, and if the server may still be running the call.

use crate::{call::event::BodyKind, refusal::UpstreamFailure};

/// Outcome of one request to a server, for the circuit breaker and for cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamVerdict {
    /// The server answered, and is done with the call.
    Answered,
    /// The server answered, and the call does not occupy it until it is sent again.
    Resting,
    /// There is no usable answer.
    Failed {
        /// Reason.
        failure: UpstreamFailure,
        /// `true` if the server may still be running the call, so that it is cancelled.
        running: bool,
    },
}

/// Returns the failure that an HTTP status stands for with any body. `None`: the body decides.
pub fn of_status(status: u16) -> Option<UpstreamFailure> {
    match status {
        // A 401 of a server never reaches a client: it would ask the client for credentials that are not its own.
        401 | 403 | 407 => Some(UpstreamFailure::Credential),
        408 | 504 => Some(UpstreamFailure::Timeout),
        429 => Some(UpstreamFailure::RateLimited),
        // Redirects are not followed: their target was not vetted.
        300..=399 => Some(UpstreamFailure::Status),
        508 => Some(UpstreamFailure::Loop),
        500..=599 => Some(UpstreamFailure::ServerError),
        _ => None,
    }
}

/// Returns the failure that a response head stands for. `None`: the body decides. Some servers send the answers of failed
/// calls with a status of 5xx, and an answer counts under any status.
pub(super) fn of_head(status: u16, body: BodyKind) -> Option<UpstreamFailure> {
    match (status, body) {
        (500..=599, BodyKind::Document) => None,
        (_, BodyKind::Document | BodyKind::Stream | BodyKind::Other | BodyKind::Empty) => {
            of_status(status)
        }
    }
}

/// Returns the failure of a body that is no answer, under this status.
pub(super) fn of_invalid_body(status: u16) -> UpstreamFailure {
    match status {
        200..=299 => UpstreamFailure::Malformed,
        504 => UpstreamFailure::Timeout,
        508 => UpstreamFailure::Loop,
        500..=599 => UpstreamFailure::ServerError,
        _ => UpstreamFailure::Status,
    }
}

/// Reports if the server may still be running a call that failed this way, because its response was not read to the
/// end. A broken connection says nothing of the call to a legacy server, and a malformed message ahead of the answer
/// need not be the last one.
pub(super) fn may_be_running(failure: UpstreamFailure) -> bool {
    match failure {
        UpstreamFailure::Timeout
        | UpstreamFailure::TooLarge
        | UpstreamFailure::TooManyMessages
        | UpstreamFailure::ResponseBufferFull
        | UpstreamFailure::Broken
        | UpstreamFailure::Malformed => true,
        UpstreamFailure::Unreachable
        | UpstreamFailure::CircuitOpen
        | UpstreamFailure::Busy
        | UpstreamFailure::TooManyOpen(_)
        | UpstreamFailure::Overloaded
        | UpstreamFailure::ResourcesExhausted
        | UpstreamFailure::Status
        | UpstreamFailure::ServerError
        | UpstreamFailure::Loop
        | UpstreamFailure::Credential
        | UpstreamFailure::RateLimited
        | UpstreamFailure::TooDeep
        | UpstreamFailure::StateTooLarge
        | UpstreamFailure::TooLargeAfterRewrite
        | UpstreamFailure::NeedsInput
        | UpstreamFailure::InputNotGiven
        | UpstreamFailure::SessionLost => false,
    }
}

#[cfg(test)]
mod tests;
