//! From what went wrong to what may be told. The one place where errors of the client and statuses of servers are read;
//! texts, bodies and URLs end here, in our own log.

use http::StatusCode;
use toolgate_client::ClientError;
use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_egress::EgressError;

/// What an error of the client stands for.
pub(crate) fn of(error: &ClientError) -> UpstreamFailure {
    match error {
        ClientError::Egress(error) if error.connect_failed() => UpstreamFailure::Unreachable,
        ClientError::Egress(_) | ClientError::Broken(_) => UpstreamFailure::Broken,
        ClientError::Timeout(_) => UpstreamFailure::Timeout,
        ClientError::TooLarge(_) => UpstreamFailure::TooLarge,
        ClientError::TooManyEvents(_) => UpstreamFailure::TooManyMessages,
        ClientError::Exhausted => UpstreamFailure::ResponseBufferFull,
        ClientError::Status(problem) => status(problem.status).unwrap_or(UpstreamFailure::Status),
        ClientError::Rpc(_) => UpstreamFailure::Status,
        // We form our requests ourselves; what cannot be sent cannot be reached.
        ClientError::Request(_) => UpstreamFailure::Unreachable,
        ClientError::Frame(_) | ClientError::Protocol(_) | ClientError::NoCommonVersion { .. } => {
            UpstreamFailure::Malformed
        }
    }
}

/// How an attempt ended that brought no answer.
pub(crate) enum Attempt<'a> {
    /// Without the head of an answer.
    Error(&'a ClientError),
    /// With this status, in a session that a legacy server gave us or without one.
    Head {
        status: StatusCode,
        in_session: bool,
    },
}

/// Whether a call may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It may have run, or would only fail the same way.
    Never,
    /// No connection stood, so no byte of it has left us.
    Alike,
    /// In another session, once it is certain that the server does not know the one it was sent in.
    InAnotherSession,
}

/// The one place that says when a call may be sent again.
pub(crate) fn again(attempt: &Attempt<'_>) -> Again {
    match attempt {
        Attempt::Error(ClientError::Egress(error)) => match error {
            EgressError::Connect { .. } => Again::Alike,
            // Nothing was sent either, but time-outs and refusals of our own would only repeat themselves.
            EgressError::Url(_)
            | EgressError::Forbidden(_)
            | EgressError::Resolve { .. }
            | EgressError::ConnectTimeout { .. }
            | EgressError::Tls(_)
            | EgressError::TlsSetup(_)
            // This one may have been sent.
            | EgressError::Broken(_) => Again::Never,
        },
        Attempt::Error(
            ClientError::Request(_)
            | ClientError::Timeout(_)
            | ClientError::Broken(_)
            | ClientError::TooLarge(_)
            | ClientError::TooManyEvents(_)
            | ClientError::Exhausted
            | ClientError::Frame(_)
            | ClientError::Status(_)
            | ClientError::Rpc(_)
            | ClientError::Protocol(_)
            | ClientError::NoCommonVersion { .. },
        ) => Again::Never,
        // Legacy servers say so of a session that they do not know, before they look at the message.
        Attempt::Head { status, in_session } if *in_session && *status == StatusCode::NOT_FOUND => {
            Again::InAnotherSession
        }
        Attempt::Head { .. } => Again::Never,
    }
}

/// What a status stands for, whatever its body says. None: the body decides.
pub(crate) fn status(status: StatusCode) -> Option<UpstreamFailure> {
    match status.as_u16() {
        // A server's own 401 never reaches a client: it would ask the client for credentials that are not theirs.
        401 | 403 | 407 => Some(UpstreamFailure::Credential),
        408 | 504 => Some(UpstreamFailure::Timeout),
        429 => Some(UpstreamFailure::RateLimited),
        // Redirects are not followed: they lead where nobody has vetted.
        300..=399 | 500..=599 => Some(UpstreamFailure::Status),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
