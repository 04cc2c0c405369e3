//! Conversion of errors to gRPC statuses. Every status says what is wrong, where, and what to do, both as text and in
//! the typed details of the Google error model (`google.rpc`), so that a program need not parse the text.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use toolgate_control_core::{
    FieldCause, ObjectKey, Rejection, Revision,
    port::{IssueError, ProbeError, SealError, StoreError, SubmitError},
};
use toolgate_model::{ObjectName, Slug};
use toolgate_wire::{
    InvalidMessage, InvalidResourceName, ResourceName,
    push::{EXPELLED, EXPELLED_PROXY},
};

const DOMAIN: &str = "toolgate";

/// Reason of errors and warnings for a store that this control plane does not follow.
pub const STORE_NOT_FOLLOWED: &str = "STORE_NOT_FOLLOWED";

/// Retry delay of a transient error.
const RETRY: Duration = Duration::from_secs(1);

/// Error for an invalid field.
pub(crate) fn invalid(field: impl Into<String>, reason: impl std::fmt::Display) -> Status {
    let field = field.into();
    let message = format!("{field}: {reason}");
    let mut details = details("INVALID", &[]);
    details.add_bad_request_violation(field, reason.to_string());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Error for an invalid field with a cause that programs tell apart.
pub(crate) fn invalid_because(field: &str, reason: &str, cause: &FieldCause) -> Status {
    let message = format!("{field}: {reason}");
    let metadata: Vec<_> = cause
        .metadata
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut details = details("INVALID", &metadata);
    details.set_bad_request(vec![FieldViolation {
        field: field.to_owned(),
        description: reason.to_owned(),
        reason: cause.reason.to_owned(),
        localized_message: None,
    }]);
    let details = match &cause.missing {
        Some(key) => resource(details, key, &message),
        None => details,
    };
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Error for an invalid message.
pub(crate) fn invalid_message(invalid_message: impl InvalidMessage) -> Status {
    invalid(invalid_message.field(), invalid_message.reason())
}

/// Error for an invalid resource name.
pub(crate) fn invalid_name(field: &str, error: &InvalidResourceName) -> Status {
    invalid(field, error)
}

/// Error for an object that does not exist or that the caller may not see. Both give the same answer.
pub(crate) fn not_found(key: &ObjectKey) -> Status {
    rejected(&Rejection::NotFound(key.clone()), None)
}

/// Error for a credential that the server of a proxy's request does not refer to. Credentials that exist and others give
/// the same answer.
pub(crate) fn unreferenced(server: Option<&ObjectName>, credential: &ObjectName) -> Status {
    let subject = match server {
        Some(server) => {
            format!("server {server} is bound by no gateway, is not served, or does not refer")
        }
        None => "no server that a gateway binds refers".to_owned(),
    };
    let message = format!(
        "{subject} to credential {credential}; name it in the server's spec.credential, and bind the server to a gateway"
    );
    Status::with_error_details(Code::NotFound, message, details("UNREFERENCED", &[]))
}

/// Error for a caller that cannot be authenticated.
pub(crate) fn unauthenticated(reason: &str, message: &str) -> Status {
    Status::with_error_details(Code::Unauthenticated, message, details(reason, &[]))
}

/// Error for an authenticated caller without the required right.
pub(crate) fn denied(method: &str, needs: &str, has: &str) -> Status {
    let message = format!("{method} needs {needs}, and the caller has {has}; use another token");
    let details = details(
        "MISSING_RIGHT",
        &[("method", method), ("needs", needs), ("has", has)],
    );
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// Error for an exhausted concurrency limit.
pub(crate) fn overloaded(what: &str) -> Status {
    let message = format!("{what}; try again in a moment");
    let mut details = details("OVERLOADED", &[]);
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Error for a state that must change first.
pub(crate) fn precondition(reason: &str, subject: &str, message: String) -> Status {
    let mut details = details(reason, &[]);
    details.add_precondition_failure_violation(reason, subject, message.as_str());
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// Error for a proxy that an operator has deleted.
pub(crate) fn expelled(id: &Slug) -> Status {
    let message = format!(
        "proxy {id} has been deleted, and its id stays closed for about a day; join under another id"
    );
    let details = details(EXPELLED, &[(EXPELLED_PROXY, id.as_str())]);
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// Error for the deletion of the proxy that runs in the process of the control plane.
pub(crate) fn local_proxy(id: &Slug) -> Status {
    let message = format!(
        "proxy {id} is part of the process of this control plane, which would serve no gateway without it; stop `toolgate up` \
         to end its service, or delete the gateways that it should not serve"
    );
    let details = details("LOCAL_PROXY", &[("proxy", id.as_str())]);
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// Error for a command that the core rejected. `given` is the resource version in the request.
pub(crate) fn rejected(rejection: &Rejection, given: Option<&str>) -> Status {
    let message = rejection.to_string();
    match rejection {
        Rejection::NotFound(key) => {
            let details = resource(details("NOT_FOUND", &[]), key, &message);
            Status::with_error_details(Code::NotFound, message, details)
        }
        Rejection::AlreadyExists(key) => {
            let details = resource(details("ALREADY_EXISTS", &[]), key, &message);
            Status::with_error_details(Code::AlreadyExists, message, details)
        }
        Rejection::Stale { key, current } => {
            let current = current.to_string();
            let versions = [
                ("current_version", current.as_str()),
                ("given_version", given.unwrap_or_default()),
            ];
            let details = resource(details("STALE", &versions), key, &message);
            Status::with_error_details(Code::Aborted, message, details)
        }
        Rejection::InUse { key, by } => {
            let mut details = resource(details("IN_USE", &[]), key, &message);
            for user in by {
                let text = format!("it is used by {}", user.describe());
                details.add_precondition_failure_violation("IN_USE", name(user), text);
            }
            Status::with_error_details(Code::FailedPrecondition, message, details)
        }
        Rejection::Invalid {
            field,
            reason,
            cause: Some(cause),
        } => invalid_because(field, reason, cause),
        Rejection::Invalid { field, reason, .. } => invalid(field, reason),
        Rejection::MissingRight { field, right, .. } => {
            let mut details = details("MISSING_RIGHT", &[("right", right)]);
            details.add_bad_request_violation(field, message.as_str());
            Status::with_error_details(Code::PermissionDenied, message, details)
        }
        Rejection::Limit {
            field,
            name,
            limit,
            found,
        } => {
            let numbers = (limit.to_string(), found.to_string());
            let bounds = [
                ("limit_name", *name),
                ("limit", &numbers.0),
                ("found", &numbers.1),
            ];
            let mut details = details("LIMIT", &bounds);
            details.add_bad_request_violation(field, message.as_str());
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        Rejection::RequestReused(_) => {
            let mut details = details("REQUEST_REUSED", &[]);
            details.add_bad_request_violation("request_id", message.as_str());
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        Rejection::Quarantined { key, .. } => {
            let mut details = resource(details("QUARANTINED", &[]), key, &message);
            details.add_precondition_failure_violation("QUARANTINED", name(key), message.as_str());
            Status::with_error_details(Code::FailedPrecondition, message, details)
        }
    }
}

/// Error for a resource version that this control plane does not know, even after waiting for it.
pub(crate) fn unknown_version(key: &ObjectKey, current: Revision, given: Revision) -> Status {
    let message = format!(
        "{} is at revision {current}, and a later one ({given}) is not known; read it again and repeat the change",
        key.describe()
    );
    let versions = (current.to_string(), given.to_string());
    let versions = [
        ("current_version", versions.0.as_str()),
        ("given_version", versions.1.as_str()),
    ];
    let details = resource(details("STALE", &versions), key, &message);
    Status::with_error_details(Code::Aborted, message, details)
}

/// Converts the error of a submitted command.
pub(crate) fn submit(error: &SubmitError, given: Option<&str>) -> Status {
    match error {
        SubmitError::Rejected(rejection) => rejected(rejection, given),
        SubmitError::Store(error) => store(error),
        SubmitError::Contended => unavailable("CONTENDED", SubmitError::Contended.to_string()),
    }
}

/// Error for a request that needs the latest state while it cannot be known. Nothing has been written.
pub(crate) fn not_current(error: &StoreError) -> Status {
    if let StoreError::NotFollowed(_) = error {
        return store(error);
    }
    let message = format!(
        "it is not known whether this control plane has the latest state: {error}; nothing was written"
    );
    unavailable("STATE_NOT_CURRENT", message)
}

fn store(error: &StoreError) -> Status {
    let message = error.to_string();
    match error {
        StoreError::Unavailable(_) | StoreError::Compacted(_) | StoreError::LeaseNotFound => {
            unavailable("STORE_UNAVAILABLE", message)
        }
        StoreError::InvalidRequest(_) => {
            let details = details("STORE_REFUSED", &[]);
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        StoreError::NoSpace(_) => {
            let details = details("STORE_FULL", &[]);
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        // A repetition has no other result until an operator has acted.
        StoreError::NotFollowed(refusal) => {
            let mut details = details(STORE_NOT_FOLLOWED, &[("cause", refusal.cause())]);
            details.add_precondition_failure_violation(
                STORE_NOT_FOLLOWED,
                "store",
                message.as_str(),
            );
            Status::with_error_details(Code::FailedPrecondition, message, details)
        }
    }
}

/// Error for a value that cannot be sealed or opened.
pub(crate) fn seal(error: &SealError) -> Status {
    precondition(
        "SEALED",
        "credential",
        format!("{error}; write its value again"),
    )
}

/// Error for a probe that cannot be made.
pub(crate) fn probe(error: &ProbeError, server: &ObjectKey) -> Status {
    match error {
        ProbeError::NoSuchServer => not_found(server),
        ProbeError::Busy => overloaded(&error.to_string()),
    }
}

/// Error for a certificate that cannot be issued.
pub(crate) fn issue(error: &IssueError) -> Status {
    match error {
        IssueError::InvalidRequest(_) => invalid("csr_der", error),
        IssueError::Unavailable(_) => unavailable("AUTHORITY_UNAVAILABLE", error.to_string()),
    }
}

/// Transient error; the caller may retry.
pub(crate) fn unavailable(reason: &str, message: String) -> Status {
    let mut details = details(reason, &[]);
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// Returns the full resource name of a key, or a description for keys without one.
pub(crate) fn name(key: &ObjectKey) -> String {
    let Some(object) = key.object() else {
        return key.describe();
    };
    let name = ResourceName {
        kind: object.kind,
        org: object.org.cloned(),
        id: object.id.clone(),
    };
    name.to_string()
}

fn resource(mut details: ErrorDetails, key: &ObjectKey, message: &str) -> ErrorDetails {
    let kind = key.kind().map(|kind| kind.as_str()).unwrap_or_default();
    details.set_resource_info(kind, name(key), "", message);
    details
}

fn details(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let metadata: HashMap<String, String> = metadata.iter().map(pair).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}
