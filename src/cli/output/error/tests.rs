//! Tests of the conversion of statuses to messages, fields and exit codes.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::{ApiErrorReason, CliError, CliErrorKind, from_startup_error};

#[test]
fn a_bad_field_is_named_with_its_reason() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("spec.url", "not an absolute http or https URL");
    let status =
        Status::with_error_details(Code::InvalidArgument, "the server is not valid", details);
    let text = CliError::from(status).to_string();
    assert_eq!(
        text,
        "error: the server is not valid\n  spec.url: not an absolute http or https URL"
    );
}

#[test]
fn exit_codes_follow_the_kind_of_error() {
    let cases = [
        (Code::NotFound, CliErrorKind::NotFound),
        (Code::Unauthenticated, CliErrorKind::Denied),
        (Code::PermissionDenied, CliErrorKind::Denied),
        (Code::Aborted, CliErrorKind::Conflict),
        (Code::AlreadyExists, CliErrorKind::Conflict),
        (Code::Unavailable, CliErrorKind::Unavailable),
        (Code::Internal, CliErrorKind::Error),
    ];
    for (code, kind) in cases {
        assert_eq!(
            CliError::from(Status::new(code, "x")).kind,
            kind,
            "{code:?}"
        );
    }
}

#[test]
fn a_denied_caller_gets_the_location_of_the_token() {
    let fault = CliError::from(Status::new(Code::Unauthenticated, "no token"));
    assert!(fault.to_string().contains("admin-token"));
}

#[test]
fn a_field_error_is_reported_once() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("spec.url", "not a URL");
    let status = Status::with_error_details(Code::InvalidArgument, "spec.url: not a URL", details);
    assert_eq!(
        CliError::from(status).to_string(),
        "error: spec.url: not a URL"
    );
}

#[test]
fn a_missing_object_is_reported_with_the_command_that_lists_its_kind() {
    let mut details = ErrorDetails::new();
    details.set_resource_info("server", "organizations/a/servers/nope", "", "");
    let status = Status::with_error_details(Code::NotFound, "there is no server a/nope", details);
    let next = CliError::from(status).next_step;
    assert_eq!(
        next.as_deref(),
        Some("`toolgate get servers` lists what there is")
    );
}

/// Error of an invalid field with a reason.
fn invalid_field(reason: &str, message: &str) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details.set_bad_request(vec![FieldViolation {
        field: "spec.credential".to_owned(),
        description: message.to_owned(),
        reason: reason.to_owned(),
        localized_message: None,
    }]);
    details
}

#[test]
fn the_reason_of_an_invalid_field_decides_and_not_its_words() {
    let of = |details: ErrorDetails, words: &str| {
        let status = Status::with_error_details(Code::InvalidArgument, words, details);
        CliError::from(status)
    };
    let words = "spec.credential: any words";
    let mut missing = invalid_field("NO_CREDENTIAL", "any words");
    missing.set_resource_info("credential", "organizations/a/credentials/key", "", "");
    let fault = of(missing, words);
    assert_eq!(fault.reason, ApiErrorReason::NoSuchReference);
    let name = "organizations/a/credentials/key";
    assert_eq!(fault.missing.as_deref(), Some(name));
    assert_eq!(fault.notes, Vec::<String>::new(), "told once");
    let no_value = of(invalid_field("NO_VALUE", "any words"), words);
    assert_eq!(no_value.reason, ApiErrorReason::NoValue);
    // A control plane of an earlier version gives words only.
    let words = "spec.credential: there is no credential a/key; create it first";
    let fault = of(invalid_field("", "there is no credential a/key"), words);
    assert_eq!((fault.reason, fault.missing), (ApiErrorReason::Other, None));
}

#[test]
fn a_repeated_cause_is_reported_once() {
    let error = anyhow::anyhow!("line 1 ends early");
    let error = error.context("not a join bundle: line 1 ends early");
    let text = from_startup_error(error.context("join.json")).to_string();
    assert_eq!(
        text,
        "error: join.json\n  not a join bundle: line 1 ends early"
    );
}

#[test]
fn a_limit_has_a_next_step_and_repeats_no_numbers() {
    let mut details = ErrorDetails::new();
    let bounds = [
        ("limit", "500"),
        ("found", "501"),
        ("limit_name", "bindings of a gateway"),
    ];
    let bounds = bounds.map(|(name, value)| (name.to_owned(), value.to_owned()));
    details.set_error_info(
        "LIMIT",
        "toolgate",
        bounds
            .into_iter()
            .collect::<std::collections::HashMap<_, _>>(),
    );
    let message = "spec.bindings: 501 is more than the limit of 500 (bindings of a gateway)";
    details.add_bad_request_violation("spec.bindings", message);
    let status = Status::with_error_details(Code::InvalidArgument, message, details);
    let fault = CliError::from(status);
    assert_eq!(fault.reason, ApiErrorReason::Limit);
    assert_eq!(fault.notes, Vec::<String>::new());
    assert!(fault.next_step.unwrap().contains("docs/limits.md"));
}

#[test]
fn a_field_is_named_as_documents_and_flags_have_it() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("spec.expire_time", "lies in the past");
    let message = "spec.expire_time: lies in the past";
    let status = Status::with_error_details(Code::InvalidArgument, message, details);
    let fault = CliError::from(status);
    assert_eq!(
        fault.to_string(),
        "error: spec.expireTime: lies in the past"
    );
    let of_flag = fault.with_flags(&[("spec.expireTime", "--ttl")]);
    assert_eq!(of_flag.to_string(), "error: --ttl: lies in the past");
}

#[test]
fn the_dependents_of_an_object_in_use_are_known() {
    let mut details = ErrorDetails::new();
    details.set_error_info(
        "IN_USE",
        "toolgate",
        std::collections::HashMap::<String, String>::new(),
    );
    let gateway = "organizations/default/gateways/tools";
    details.add_precondition_failure_violation("IN_USE", gateway, "it is used by gateway tools");
    let message =
        "server default/git is used by gateway default/tools; change or delete those first";
    let status = Status::with_error_details(Code::FailedPrecondition, message, details);
    let fault = CliError::from(status);
    assert_eq!(fault.reason, ApiErrorReason::InUse);
    assert_eq!(fault.dependents, [gateway]);
    let told = fault.to_string();
    assert!(
        told.starts_with(&format!(
            "error: {message}\n  next: `toolgate edit gateway tools`"
        )),
        "{told}"
    );
}
