//! Classification of the statuses with which requests to the admin API end.

use std::{error::Error as _, path::Path, sync::Arc};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use toolgate_egress::ControlConnectError;

/// Reasons of the API for a store that did not answer: to a commit, or to the question whether the state is the latest.
const STORE_UNAVAILABLE: &str = "STORE_UNAVAILABLE";
const STATE_NOT_CURRENT: &str = "STATE_NOT_CURRENT";
/// Reason of the API for a store that the control plane does not follow, because it was lost or went back.
const STORE_NOT_FOLLOWED: &str = "STORE_NOT_FOLLOWED";

/// Returns `true` if the peer does not speak gRPC.
pub(super) fn is_not_grpc(status: &Status) -> bool {
    let signs = [
        "invalid compression flag",
        "grpc-status header missing",
        "h2 protocol error",
    ];
    let text = text_with_causes(status);
    signs.iter().any(|sign| text.contains(sign))
}

/// Returns `true` if the deadline of the request passed, on the client or on the control plane.
pub(super) fn is_timeout(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message().contains("Timeout expired")
}

/// Returns the reason in the error details; empty if there is none.
pub(super) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// Returns `true` if the control plane itself has answered: with a reason, or that a resource is used up.
pub(super) fn is_answer(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted || !reason(status).is_empty()
}

/// Returns `true` if the control plane reports that its store does not answer.
pub(super) fn is_store_unavailable(status: &Status) -> bool {
    matches!(
        reason(status).as_str(),
        STORE_UNAVAILABLE | STATE_NOT_CURRENT
    )
}

/// Returns why the control plane cannot tell whether its state is the latest; `None` if the status has another cause.
pub(super) fn reason_of_old_state(status: &Status) -> Option<&'static str> {
    match reason(status).as_str() {
        STATE_NOT_CURRENT => Some("the store does not answer"),
        STORE_NOT_FOLLOWED => Some("the control plane does not follow its store"),
        _ => None,
    }
}

/// Returns `true` if a write that ended with this status may have happened: the store did not answer the commit, the
/// deadline passed, or the connection was lost.
pub(super) fn is_result_unknown(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => matches!(reason(status).as_str(), "" | STORE_UNAVAILABLE),
        Code::DeadlineExceeded | Code::Cancelled => true,
        // A connection that ended while the response was awaited.
        Code::Unknown => status.source().is_some(),
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// Returns `true` if the connection could not be established, so that no request was sent.
pub(super) fn is_connect_error(status: &Status) -> bool {
    ControlConnectError::of(status).is_some()
}

/// Returns `true` if the connection ended without an answer of the peer, or with an answer that is not gRPC.
pub(super) fn is_broken(status: &Status) -> bool {
    status.source().is_some() || is_not_grpc(status)
}

/// Returns the status of a request that could not be sent.
pub(super) fn not_ready(error: tonic::transport::Error) -> Status {
    let mut status = Status::unavailable(error.to_string());
    status.set_source(Arc::new(error));
    status
}

/// Returns `true` if a repetition may have another result.
pub(super) fn is_transient(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

pub(super) fn timeout_status() -> Status {
    Status::unavailable("there was no answer in time")
}

fn text_with_causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Describes the origin of an address that was not given: the address file of a `toolgate up`, or the default.
pub(super) fn address_origin(file: &Path, addr: &str) -> String {
    let absolute = std::path::absolute(file);
    let absolute = absolute.unwrap_or_else(|_unknown| file.to_owned());
    let location = absolute.display();
    match file.exists() {
        true => format!(
            "the address is what a `toolgate up` left in {location}; it may have ended since"
        ),
        false => {
            format!(
                "{addr} is the usual address: no `toolgate up` that runs left one in {location}, where --data-dir points"
            )
        }
    }
}

#[cfg(test)]
mod tests;
