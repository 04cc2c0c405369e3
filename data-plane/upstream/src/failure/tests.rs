//! Nothing of a server's own words passes, and its 401 is not ours.

use toolgate_client::{StatusProblem, TimeoutPhase};

use super::*;

#[test]
fn statuses_are_reported_with_fixed_texts() {
    for (code, failure) in [
        (401, Some(UpstreamFailure::Credential)),
        (403, Some(UpstreamFailure::Credential)),
        (302, Some(UpstreamFailure::Status)),
        (429, Some(UpstreamFailure::RateLimited)),
        (500, Some(UpstreamFailure::Status)),
        (504, Some(UpstreamFailure::Timeout)),
        (200, None),
        (400, None),
        (404, None),
    ] {
        assert_eq!(
            status(StatusCode::from_u16(code).unwrap()),
            failure,
            "{code}"
        );
    }
}

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
    let connect = EgressError::Connect {
        host: "one.example".to_owned(),
        source: std::io::ErrorKind::ConnectionRefused.into(),
    };
    let errors = [
        (ClientError::Egress(connect), Again::Alike),
        (
            ClientError::Egress(EgressError::Broken("reset".to_owned())),
            Again::Never,
        ),
        (ClientError::Timeout(TimeoutPhase::FirstByte), Again::Never),
        (ClientError::Broken("cut".to_owned()), Again::Never),
    ];
    for (error, expected) in errors {
        assert_eq!(again(&Attempt::Error(&error)), expected, "{error}");
    }
    for status in (100..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
        for in_session in [true, false] {
            let unknown = status == 404 && in_session;
            let head = again(&Attempt::Head { status, in_session });
            assert_eq!(head == Again::InAnotherSession, unknown, "{status}");
            assert_ne!(head, Again::Alike);
        }
    }
}
