//! Tests that refusals carry the header fields of their status and the id of the request.

use super::*;
use crate::body::NeverBody;

fn response(refusal: Refusal) -> Response<ResponseBody<NeverBody>> {
    refusal_response(&refusal, Some("7"))
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
fn rate_and_concurrency_rejections_carry_retry_after() {
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
fn an_unsupported_method_is_answered_with_an_allow_header() {
    let response = response(Refusal::MethodNotAllowed);
    assert_eq!(response.headers()[header::ALLOW], "POST, GET, DELETE");
}

#[test]
fn the_body_is_an_error_with_the_id_as_written() {
    let ResponseBody::Full(bytes) = response(Refusal::Internal).into_body() else {
        panic!("no body");
    };
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(text.contains("\"id\":7"), "{text}");
    assert!(text.contains("-32603"), "{text}");
}
