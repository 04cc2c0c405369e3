//! Tests of rate limits: every value out of range is rejected with its field.

use toolgate_proto::{admin::v1 as admin, push::v1 as push};

use super::*;

fn limit() -> admin::RateLimit {
    admin::RateLimit {
        per: admin::RateLimitKey::Principal.into(),
        requests: 60,
        interval: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        burst: 0,
        tools: Vec::new(),
    }
}

#[test]
fn a_limit_without_a_burst_permits_its_requests_at_once() {
    let read = limits("spec.rate_limits", &[limit()]).unwrap();
    assert_eq!(read[0].burst().get(), 60);
    assert_eq!(limits_to_proto(&read), [limit()]);
}

#[test]
fn values_out_of_range_are_rejected_with_their_field() {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    type Change = Box<dyn Fn(&mut admin::RateLimit)>;
    let cases: Vec<(Change, &str, &str)> = vec![
        (Box::new(|it| it.per = 0), "per", "is required"),
        (Box::new(|it| it.per = 99), "per", "99"),
        (Box::new(|it| it.requests = 0), "requests", "1 to 1000000"),
        (
            Box::new(|it| it.requests = 1_000_001),
            "requests",
            "1 to 1000000",
        ),
        (Box::new(|it| it.interval = None), "interval", "`60s`"),
        (
            Box::new(move |it| it.interval = seconds(0)),
            "interval",
            "more than 0s",
        ),
        (
            Box::new(move |it| it.interval = seconds(86_401)),
            "interval",
            "86400s",
        ),
        (Box::new(|it| it.burst = 61), "burst", "use at most 60"),
        (
            Box::new(|it| it.tools = vec![String::new()]),
            "tools[0]",
            "is required",
        ),
    ];
    for (change, field, reason) in cases {
        let mut wrong = limit();
        change(&mut wrong);
        let violation = limits("spec.rate_limits", &[limit(), wrong]).unwrap_err();
        assert_eq!(violation.field, format!("spec.rate_limits[1].{field}"));
        assert!(violation.reason.contains(reason), "{}", violation.reason);
    }
    let short = prost_types::Duration {
        seconds: 0,
        nanos: 500_000_000,
    };
    let wrong = admin::RateLimit {
        interval: Some(short),
        ..limit()
    };
    let violation = limits("rate_limits", &[wrong]).unwrap_err();
    assert!(
        violation.reason.contains("1 second"),
        "{}",
        violation.reason
    );
}

#[test]
fn a_push_names_a_known_scope_and_key() {
    let good = push::RateLimit {
        scope: "server".into(),
        server: "git".into(),
        per: "tool".into(),
        requests: 1,
        interval_ms: 1_000,
        burst: 0,
        tools: Vec::new(),
    };
    assert!(scoped("rate_limits", std::slice::from_ref(&good)).is_ok());
    let wrong = [
        (
            push::RateLimit {
                scope: "region".into(),
                ..good.clone()
            },
            "scope",
        ),
        (
            push::RateLimit {
                server: String::new(),
                ..good.clone()
            },
            "server",
        ),
        (
            push::RateLimit {
                per: "region".into(),
                ..good.clone()
            },
            "per",
        ),
    ];
    for (given, field) in wrong {
        let violation = scoped("rate_limits", &[given]).unwrap_err();
        assert_eq!(violation.field, format!("rate_limits[0].{field}"));
    }
    // A token's limit applies to all requests made with it.
    let violation = unscoped("rate_limits", &[good]).unwrap_err();
    assert_eq!(violation.field, "rate_limits[0].scope");
}
