//! Tests of the advice for requests that a gateway refuses for now.

use super::*;

#[test]
fn a_request_over_a_limit_is_told_when_to_repeat_it_and_where_the_limit_is() {
    let refused = |message: &str, status: StatusCode, after: Option<u64>| {
        let fault = CliError::new(CliErrorKind::Unavailable, message);
        with_retry(fault, status, after, "tools").next_step.unwrap()
    };
    let limited = "too many requests: the rate limit per token is reached, retry in 7 s";
    let step = refused(limited, StatusCode::TOO_MANY_REQUESTS, Some(7));
    assert!(step.starts_with("repeat the command in 7 s; "), "{step}");
    assert!(step.contains("`toolgate edit gateway tools`"), "{step}");
    let open = "too many of your streams are open: end some of them, or retry later";
    let step = refused(open, StatusCode::TOO_MANY_REQUESTS, None);
    assert!(
        step.starts_with("repeat the command in a few seconds; "),
        "{step}"
    );
    assert!(step.contains("docs/configuration.md"), "{step}");
    let overloaded = "overloaded: retry soon";
    let step = refused(overloaded, StatusCode::SERVICE_UNAVAILABLE, Some(1));
    assert!(step.contains("`toolgate doctor`"), "{step}");
    let failed = CliError::new(CliErrorKind::CallFailed, "the server failed");
    let same = with_retry(failed.clone(), StatusCode::OK, None, "tools");
    assert_eq!(same, failed);
}
