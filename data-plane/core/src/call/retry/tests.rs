//! A call is sent again once, and only after an attempt that provably did not run.

use super::*;

#[test]
fn only_a_404_in_a_session_may_say_that_the_session_is_unknown() {
    for status in 100..600 {
        for in_session in [true, false] {
            let unknown = status == 404 && in_session;
            assert_eq!(
                says_session_unknown(status, in_session),
                unknown,
                "{status}"
            );
        }
    }
}

#[test]
fn a_call_that_was_not_sent_is_sent_once_more() {
    let mut state = RetryState::default();
    assert_eq!(state.not_sent(), RetryStep::Retry(RetrySession::Same));
    let unreachable = RetryStep::Fail(UpstreamFailure::Unreachable);
    assert_eq!(state.not_sent(), unreachable);
    assert_eq!(
        state.session_unknown(),
        RetryStep::Fail(UpstreamFailure::SessionLost)
    );
}

#[test]
fn a_forgotten_session_is_replaced_once_and_only_after_a_probe() {
    let mut state = RetryState::default();
    assert_eq!(state.session_unknown(), RetryStep::Probe);
    assert_eq!(state.probed(false), RetryStep::Retry(RetrySession::New));
    assert_eq!(
        state.session_unknown(),
        RetryStep::Fail(UpstreamFailure::SessionLost)
    );
    assert_eq!(
        state.probed(false),
        RetryStep::Fail(UpstreamFailure::SessionLost)
    );
}

#[test]
fn a_404_of_a_known_session_is_an_answer() {
    let mut state = RetryState::default();
    assert_eq!(state.session_unknown(), RetryStep::Probe);
    assert_eq!(state.probed(true), RetryStep::Fail(UpstreamFailure::Status));
}
