//! Statuses are told in words of the gateway, and a 401 of a server is not passed on.

use super::*;

#[test]
fn statuses_are_reported_with_fixed_texts() {
    for (code, failure) in [
        (401, Some(UpstreamFailure::Credential)),
        (403, Some(UpstreamFailure::Credential)),
        (302, Some(UpstreamFailure::Status)),
        (429, Some(UpstreamFailure::RateLimited)),
        (500, Some(UpstreamFailure::ServerError)),
        (503, Some(UpstreamFailure::ServerError)),
        (508, Some(UpstreamFailure::Loop)),
        (504, Some(UpstreamFailure::Timeout)),
        (200, None),
        (400, None),
        (404, None),
    ] {
        assert_eq!(of_status(code), failure, "{code}");
    }
}

#[test]
fn a_call_may_be_running_unless_its_server_answered_or_was_never_asked() {
    assert!(may_be_running(UpstreamFailure::Timeout));
    assert!(may_be_running(UpstreamFailure::Broken));
    assert!(!may_be_running(UpstreamFailure::Unreachable));
    assert!(!may_be_running(UpstreamFailure::RateLimited));
    assert!(!may_be_running(UpstreamFailure::InputNotGiven));
}
