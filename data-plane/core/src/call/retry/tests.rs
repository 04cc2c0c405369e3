//! A call is sent again once, and only after an attempt that provably did not run.

use super::*;

fn status(status: u16) -> SessionRefusal {
    SessionRefusal::Status(status)
}

#[test]
fn only_a_refusal_in_a_session_holds_a_response_back() {
    for status in 100..600 {
        for in_session in [true, false] {
            let refused = (400..500).contains(&status) && ![407, 408, 429].contains(&status);
            assert_eq!(
                may_refuse_session(status, in_session),
                refused && in_session,
                "{status}"
            );
        }
    }
}

#[test]
fn a_call_that_was_not_sent_is_sent_once_more() {
    let mut policy = RetryPolicy::default();
    assert_eq!(policy.retry_unsent(), RetryStep::Retry(RetrySession::Same));
    let unreachable = RetryStep::Fail(UpstreamFailure::Unreachable);
    assert_eq!(policy.retry_unsent(), unreachable);
    assert_eq!(
        policy.retry_after_ping(SessionVerdict::NotExecuted),
        ProbeStep::Fail
    );
}

#[test]
fn a_forgotten_session_is_replaced_once_and_only_after_a_probe() {
    let mut policy = RetryPolicy::default();
    assert_eq!(
        policy.retry_after_ping(SessionVerdict::NotExecuted),
        ProbeStep::Replace
    );
    assert_eq!(
        policy.retry_after_ping(SessionVerdict::NotExecuted),
        ProbeStep::Fail
    );
}

#[test]
fn a_404_of_a_known_session_is_an_answer() {
    let mut policy = RetryPolicy::default();
    let verdict = session_verdict(status(404), PingOutcome::Answered);
    assert_eq!(policy.retry_after_ping(verdict), ProbeStep::Continue);
}

/// Only the same HTTP refusal of a ping proves that the call was refused before it ran.
#[test]
fn a_refused_call_is_repeated_only_after_the_same_http_refusal_of_a_ping() {
    let codes = [400, 401, 403, 404, 408, 410, 429, 500, 503];
    let errors = [-32000, -32600, -32601].map(SessionRefusal::Error);
    let refusals: Vec<_> = codes.into_iter().map(status).chain(errors).collect();
    for call in &refusals {
        for ping in &refusals {
            let repeated = call == ping && [400, 401, 403, 404, 410].map(status).contains(call);
            let verdict = session_verdict(*call, PingOutcome::Refused(*ping));
            assert_eq!(
                verdict == SessionVerdict::NotExecuted,
                repeated,
                "{call:?} {ping:?}"
            );
        }
        for ping in [PingOutcome::Answered, PingOutcome::NoResponse] {
            assert_eq!(session_verdict(*call, ping), SessionVerdict::Usable);
        }
    }
}

#[test]
fn a_session_that_refuses_everything_is_never_usable() {
    let alike = [
        status(400),
        status(500),
        status(503),
        SessionRefusal::Error(-32000),
        SessionRefusal::Error(-32600),
    ];
    for refusal in alike {
        let verdict = session_verdict(refusal, PingOutcome::Refused(refusal));
        assert_ne!(verdict, SessionVerdict::Usable, "{refusal:?}");
    }
    for refusal in [status(500), SessionRefusal::Error(-32000)] {
        let verdict = session_verdict(refusal, PingOutcome::Refused(status(404)));
        assert_eq!(verdict, SessionVerdict::Unusable, "{refusal:?}");
    }
    // A server without `ping` answers with this error in every session.
    let unsupported = SessionRefusal::Error(-32601);
    let verdict = session_verdict(unsupported, PingOutcome::Refused(unsupported));
    assert_eq!(verdict, SessionVerdict::Usable);
}
