//! Tests of the conversion of statuses to messages, fields and exit codes.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Fault, FaultKind, told};

#[test]
fn a_bad_field_is_named_with_its_reason() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("spec.url", "not an absolute http or https URL");
    let status =
        Status::with_error_details(Code::InvalidArgument, "the server is not valid", details);
    let text = Fault::from(status).to_string();
    assert_eq!(
        text,
        "error: the server is not valid\n  spec.url: not an absolute http or https URL"
    );
}

#[test]
fn exit_codes_tell_scripts_what_happened() {
    let cases = [
        (Code::NotFound, FaultKind::NotFound),
        (Code::Unauthenticated, FaultKind::Denied),
        (Code::PermissionDenied, FaultKind::Denied),
        (Code::Aborted, FaultKind::Conflict),
        (Code::AlreadyExists, FaultKind::Conflict),
        (Code::Unavailable, FaultKind::Unavailable),
        (Code::Internal, FaultKind::Error),
    ];
    for (code, kind) in cases {
        assert_eq!(Fault::from(Status::new(code, "x")).kind, kind, "{code:?}");
    }
}

#[test]
fn a_denied_caller_is_told_where_the_token_lies() {
    let fault = Fault::from(Status::new(Code::Unauthenticated, "no token"));
    assert!(fault.to_string().contains("admin-token"));
}

#[test]
fn a_field_fault_is_told_once() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("spec.url", "not a URL");
    let status = Status::with_error_details(Code::InvalidArgument, "spec.url: not a URL", details);
    assert_eq!(
        Fault::from(status).to_string(),
        "error: spec.url: not a URL"
    );
}

#[test]
fn what_is_not_there_is_told_with_the_command_that_lists_its_kind() {
    let mut details = ErrorDetails::new();
    details.set_resource_info("server", "organizations/a/servers/nope", "", "");
    let status = Status::with_error_details(Code::NotFound, "there is no server a/nope", details);
    let next = Fault::from(status).next;
    assert_eq!(
        next.as_deref(),
        Some("`toolgate get servers` lists what there is")
    );
}

#[test]
fn a_cause_that_the_line_above_ends_with_is_told_once() {
    let error = anyhow::anyhow!("line 1 ends early");
    let error = error.context("not a join bundle: line 1 ends early");
    let text = told(error.context("join.json")).to_string();
    assert_eq!(
        text,
        "error: join.json\n  not a join bundle: line 1 ends early"
    );
}
