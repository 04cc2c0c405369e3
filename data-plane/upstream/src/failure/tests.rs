//! No text of a server passes, and only a refused connection proves that nothing was sent.

use http::StatusCode;
use toolgate_client::{StatusProblem, TimeoutPhase};

use super::*;

#[test]
fn error_texts_are_not_forwarded() {
    let secret = "http://10.0.0.1/internal";
    let problem = StatusProblem {
        status: StatusCode::NOT_FOUND,
        retry_after: None,
        rpc: None,
    };
    for error in [
        ClientError::Broken(secret.to_owned()),
        ClientError::Protocol(secret.to_owned().into()),
        ClientError::Timeout(TimeoutPhase::FirstByte),
        ClientError::TooLarge(7),
        ClientError::Status(Box::new(problem)),
    ] {
        assert!(!of(&error).to_string().contains("10.0.0.1"));
    }
}

#[test]
fn a_call_is_retried_only_if_nothing_was_sent_or_the_session_was_unknown() {
    let connect = |kind: ErrorKind| {
        ClientError::Egress(EgressError::Connect {
            host: "one.example".to_owned(),
            source: kind.into(),
        })
    };
    let exhausted = || EgressError::Exhausted(std::io::Error::other("too many open files"));
    let broken = EgressError::Broken("reset".to_owned());
    let errors = [
        (connect(ErrorKind::ConnectionRefused), true),
        // The time for connecting is used up.
        (connect(ErrorKind::TimedOut), false),
        (ClientError::Egress(broken), false),
        // A second attempt would end alike.
        (ClientError::Egress(exhausted()), false),
        (ClientError::Timeout(TimeoutPhase::FirstByte), false),
        (ClientError::Broken("cut".to_owned()), false),
    ];
    for (error, expected) in errors {
        assert_eq!(is_retryable(&error), expected, "{error}");
    }
    assert!(connect(ErrorKind::TimedOut).is_endpoint_unreachable());
    assert!(!ClientError::Egress(exhausted()).is_endpoint_unreachable());
    let cut = ClientError::Egress(EgressError::Broken("reset".to_owned()));
    assert!(!cut.is_endpoint_unreachable(), "it may have been sent");
    let failure = of(&ClientError::Egress(exhausted()));
    assert_eq!(failure, UpstreamFailure::ResourcesExhausted);
}
