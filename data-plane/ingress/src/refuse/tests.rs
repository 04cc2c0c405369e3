//! Tests that refusals carry the header fields of their status and the id of the request.

use super::*;
use crate::body::Never;

fn response(refusal: Refusal) -> Response<Body<Never>> {
    refuse(&refusal, Some("7"))
}

#[test]
fn an_unknown_caller_is_challenged() {
    let response = response(Refusal::Unauthenticated);
    assert_eq!(response.status(), 401);
    let challenge = response.headers()[header::WWW_AUTHENTICATE]
        .to_str()
        .unwrap();
    assert!(challenge.starts_with("Bearer "));
}

#[test]
fn who_is_too_fast_or_too_many_is_told_when_to_come_back() {
    assert_eq!(
        response(Refusal::TooManyRequests(7)).headers()[header::RETRY_AFTER],
        "7"
    );
    assert_eq!(response(Refusal::Overloaded).status(), 503);
    assert_eq!(
        response(Refusal::Overloaded).headers()[header::RETRY_AFTER],
        "1"
    );
}

#[test]
fn a_method_that_is_not_served_is_answered_with_those_that_are() {
    let response = response(Refusal::MethodNotAllowed);
    assert_eq!(response.headers()[header::ALLOW], "POST, GET, DELETE");
}

#[test]
fn the_body_is_an_error_with_the_id_as_written() {
    let Body::Full(bytes) = response(Refusal::Internal).into_body() else {
        panic!("no body");
    };
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.contains("\"id\":7"), "{text}");
    assert!(text.contains("-32603"), "{text}");
}
