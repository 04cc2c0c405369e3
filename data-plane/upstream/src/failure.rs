//! Classification of client errors. Texts, bodies and URLs of errors go to the log and no further.

use std::io::ErrorKind;

use toolgate_client::ClientError;
use toolgate_data_core::{call::verdict, refusal::UpstreamFailure};
use toolgate_egress::EgressError;

/// Returns the failure that an error stands for.
pub(crate) fn of(error: &ClientError) -> UpstreamFailure {
    match error {
        ClientError::Egress(EgressError::Exhausted(_)) => UpstreamFailure::ResourcesExhausted,
        ClientError::Egress(error) if error.connect_failed() => UpstreamFailure::Unreachable,
        ClientError::Egress(_) | ClientError::Broken(_) => UpstreamFailure::Broken,
        ClientError::Timeout(_) => UpstreamFailure::Timeout,
        ClientError::TooLarge(_) | ClientError::Expansion(_) => UpstreamFailure::TooLarge,
        ClientError::TooManyEvents(_) => UpstreamFailure::TooManyMessages,
        ClientError::Exhausted => UpstreamFailure::ResponseBufferFull,
        ClientError::Status(problem) => {
            let failure = verdict::of_status(problem.status.as_u16());
            failure.unwrap_or(UpstreamFailure::Status)
        }
        ClientError::Rpc(_) => UpstreamFailure::Status,
        // A request that cannot be built cannot be sent.
        ClientError::Request(_) => UpstreamFailure::Unreachable,
        ClientError::Frame(_) | ClientError::Protocol(_) | ClientError::NoCommonVersion { .. } => {
            UpstreamFailure::Malformed
        }
    }
}

/// Reports if an error proves that no byte of the request was sent and a retry may help: no connection could be made. A
/// timeout has used up the time for connecting, and a second attempt after a refusal of the proxy itself, a name that does
/// not resolve, or a failed handshake of TLS would end alike.
pub(crate) fn is_retryable(error: &ClientError) -> bool {
    match error {
        ClientError::Egress(error) => match error {
            EgressError::Connect { source, .. } => source.kind() != ErrorKind::TimedOut,
            EgressError::Url(_)
            | EgressError::Forbidden(_)
            | EgressError::Resolve { .. }
            | EgressError::ConnectTimeout { .. }
            | EgressError::Exhausted(_)
            | EgressError::ForwardProxy { .. }
            | EgressError::Tls(_)
            | EgressError::Certificate { .. }
            | EgressError::TlsSetup(_)
            // The request may have been sent.
            | EgressError::Broken(_) => false,
        },
        ClientError::Request(_)
        | ClientError::Timeout(_)
        | ClientError::Broken(_)
        | ClientError::TooLarge(_)
        | ClientError::Expansion(_)
        | ClientError::TooManyEvents(_)
        | ClientError::Exhausted
        | ClientError::Frame(_)
        | ClientError::Status(_)
        | ClientError::Rpc(_)
        | ClientError::Protocol(_)
        | ClientError::NoCommonVersion { .. } => false,
    }
}

#[cfg(test)]
mod tests;
