//! Tests of rate limits as they are written: each level permits its keys, and nonsense is rejected with its field.

use std::{num::NonZeroU32, time::Duration};

use toolgate_model::{BindingSelection, RateLimit, RateLimitKey, RateLimitLevel};

use super::*;

fn limit(per: RateLimitKey) -> RateLimit {
    RateLimit {
        per,
        requests: NonZeroU32::new(10).unwrap(),
        interval: Duration::from_secs(60),
        burst: None,
        tools: Vec::new(),
    }
}

fn naming(per: RateLimitKey, tools: &[&str]) -> RateLimit {
    RateLimit {
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        ..limit(per)
    }
}

/// Creates an object of this level with these limits.
fn write(level: RateLimitLevel, limits: Vec<RateLimit>) -> Result<(), Rejection> {
    let mut world = StoreFixture::with(&["acme"]);
    world
        .create(OperatorObject::Server(server("acme", "one", None)))
        .unwrap();
    let mut at_gateway = gateway("acme", "main", PrefixMode::Always, &["one"]);
    let object = match level {
        RateLimitLevel::Organization => {
            let mut it = organization("other");
            it.rate_limits = limits;
            OperatorObject::Organization(it)
        }
        RateLimitLevel::Gateway => {
            at_gateway.rate_limits = limits;
            OperatorObject::Gateway(at_gateway)
        }
        RateLimitLevel::Binding => {
            at_gateway.bindings[0].rate_limits = limits;
            at_gateway.bindings[0].tools = BindingSelection::Only(vec!["read".to_owned()]);
            OperatorObject::Gateway(at_gateway)
        }
        RateLimitLevel::Server => {
            let mut it = server("acme", "two", None);
            it.rate_limits = limits;
            OperatorObject::Server(it)
        }
        RateLimitLevel::Token => {
            let mut it = token("acme", "ci");
            it.rate_limits = limits;
            OperatorObject::Token(it)
        }
    };
    world.create(object).map(drop)
}

const LEVELS: [(RateLimitLevel, &str); 5] = [
    (RateLimitLevel::Organization, "spec.rate_limits"),
    (RateLimitLevel::Gateway, "spec.rate_limits"),
    (RateLimitLevel::Binding, "spec.bindings[0].rate_limits"),
    (RateLimitLevel::Server, "spec.rate_limits"),
    (RateLimitLevel::Token, "spec.rate_limits"),
];

fn rejected(level: RateLimitLevel, limits: Vec<RateLimit>) -> (String, String) {
    let rejection = write(level, limits).unwrap_err();
    let field = rejection.field().unwrap_or_default().to_owned();
    (field, rejection.to_string())
}

#[test]
fn each_level_permits_its_keys_and_names_them_when_it_rejects_another() {
    for (level, path) in LEVELS {
        for per in RateLimitKey::ALL {
            if level.keys().contains(&per) {
                write(level, vec![limit(per)]).unwrap();
                continue;
            }
            let (field, reason) = rejected(level, vec![limit(per)]);
            assert_eq!(field, format!("{path}[0].per"), "{level:?} {per}");
            for permitted in level.keys() {
                assert!(reason.contains(&format!("`{permitted}`")), "{reason}");
            }
        }
    }
    let (_, reason) = rejected(RateLimitLevel::Gateway, vec![limit(RateLimitKey::Tool)]);
    assert!(reason.contains("gateway's binding"), "{reason}");
}

#[test]
fn tools_are_named_where_calls_are_known_and_must_be_exposed() {
    use RateLimitKey as Key;
    write(
        RateLimitLevel::Server,
        vec![naming(Key::Principal, &["a", "b"])],
    )
    .unwrap();
    write(RateLimitLevel::Binding, vec![naming(Key::Tool, &["read"])]).unwrap();
    for level in [
        RateLimitLevel::Organization,
        RateLimitLevel::Gateway,
        RateLimitLevel::Token,
    ] {
        let (field, reason) = rejected(level, vec![naming(Key::Token, &["read"])]);
        assert_eq!(field, "spec.rate_limits[0].tools");
        assert!(reason.contains("binding"), "{reason}");
    }
    let limits = vec![limit(Key::Tool), naming(Key::Tool, &["read", "raed"])];
    let (field, reason) = rejected(RateLimitLevel::Binding, limits);
    assert_eq!(field, "spec.bindings[0].rate_limits[1].tools[1]");
    assert!(reason.contains("correct the name"), "{reason}");
    let (field, _) = rejected(RateLimitLevel::Server, vec![naming(Key::Tool, &["a", "a"])]);
    assert_eq!(field, "spec.rate_limits[0].tools[1]");
}

#[test]
fn a_limit_that_is_there_twice_is_rejected_and_one_of_another_interval_is_not() {
    use RateLimitKey as Key;
    let hourly = RateLimit {
        requests: NonZeroU32::new(300).unwrap(),
        interval: Duration::from_secs(3_600),
        ..limit(Key::Principal)
    };
    write(RateLimitLevel::Gateway, vec![limit(Key::Principal), hourly]).unwrap();
    let other_number = RateLimit {
        requests: NonZeroU32::new(11).unwrap(),
        ..limit(Key::Principal)
    };
    let twice = vec![limit(Key::Principal), other_number];
    assert_eq!(
        rejected(RateLimitLevel::Gateway, twice).0,
        "spec.rate_limits[1]"
    );
    // The order in which tools are named makes no difference.
    let twice = vec![
        naming(Key::Tool, &["a", "b"]),
        naming(Key::Tool, &["b", "a"]),
    ];
    assert_eq!(
        rejected(RateLimitLevel::Server, twice).0,
        "spec.rate_limits[1]"
    );
}

#[test]
fn numbers_out_of_range_and_too_many_limits_are_rejected() {
    let short = RateLimit {
        interval: Duration::from_millis(999),
        ..limit(RateLimitKey::Gateway)
    };
    let (field, reason) = rejected(RateLimitLevel::Gateway, vec![short]);
    assert_eq!(field, "spec.rate_limits[0].interval");
    assert!(reason.contains("1 second to 1 day"), "{reason}");
    let eager = RateLimit {
        burst: NonZeroU32::new(11),
        ..limit(RateLimitKey::Gateway)
    };
    assert_eq!(
        rejected(RateLimitLevel::Gateway, vec![eager]).0,
        "spec.rate_limits[0].burst"
    );
    let many = (1..=17).map(|minutes| RateLimit {
        interval: Duration::from_secs(60 * minutes),
        ..limit(RateLimitKey::Gateway)
    });
    assert_eq!(
        rejected(RateLimitLevel::Gateway, many.collect()).0,
        "spec.rate_limits"
    );
}
