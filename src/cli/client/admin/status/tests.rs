//! Tests that statuses are told apart: of control plane, store or another program at its address.

use std::collections::HashMap;

use tonic_types::ErrorDetails;

use super::*;

#[test]
fn store_errors_foreign_services_and_an_unreachable_control_plane_are_distinguished() {
    let away = Status::unavailable("tcp connect error");
    assert!(!is_store_unavailable(&away) && !is_not_grpc(&away));
    let details = ErrorDetails::with_error_info("STORE_UNAVAILABLE", "toolgate", HashMap::new());
    let store = Status::with_error_details(Code::Unavailable, "the store is unavailable", details);
    assert!(is_store_unavailable(&store) && !is_not_grpc(&store));
    let stranger = Status::internal(
        "protocol error: received message with invalid compression flag: 123 (valid flags are 0 and 1)",
    );
    assert!(is_not_grpc(&stranger));
}

#[test]
fn a_write_counts_as_not_done_only_if_that_is_certain() {
    let with_reason = |reason: &str| {
        let details = ErrorDetails::with_error_info(reason, "toolgate", HashMap::new());
        Status::with_error_details(Code::Unavailable, "unavailable", details)
    };
    for unknown in [
        with_reason("STORE_UNAVAILABLE"),
        Status::unavailable("connection reset"),
        Status::deadline_exceeded("not done in time"),
    ] {
        assert!(is_result_unknown(&unknown), "{unknown:?}");
    }
    for not_written in [
        with_reason("STATE_NOT_CURRENT"),
        with_reason("CONTENDED"),
        Status::not_found("there is no server"),
    ] {
        assert!(!is_result_unknown(&not_written), "{not_written:?}");
    }
}

#[test]
fn a_control_plane_that_refuses_for_now_has_answered_whatever_its_words_are() {
    let with_reason = |code, reason: &str| {
        let details = ErrorDetails::with_error_info(reason, "toolgate", HashMap::new());
        Status::with_error_details(code, "any words", details)
    };
    for answer in [
        with_reason(Code::Unavailable, "CONTENDED"),
        with_reason(Code::ResourceExhausted, "OVERLOADED"),
        Status::resource_exhausted("any words"),
    ] {
        assert!(is_answer(&answer), "{answer:?}");
    }
    assert!(!is_answer(&Status::unavailable("try again")));
}

#[test]
fn the_origin_of_an_address_names_the_file_that_was_looked_for() {
    let missing = Path::new("no-such-folder/admin-address");
    let told = address_origin(missing, "http://127.0.0.1:7400");
    let absolute = std::path::absolute(missing).unwrap();
    assert!(told.contains(&absolute.display().to_string()), "{told}");
}

#[test]
fn a_connection_that_was_not_established_is_told_by_its_type_and_not_by_its_words() {
    let error = ControlConnectError::new(
        "127.0.0.1:7400".into(),
        toolgate_egress::ConnectProblem::Refused,
    );
    let status = Status::from_error(Box::new(std::io::Error::from(error)));
    assert!(is_connect_error(&status));
    assert!(!is_connect_error(&Status::unavailable("tcp connect error")));
}
