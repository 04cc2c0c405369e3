//! Tests of fields at their limits.

use super::*;

#[test]
fn timestamps_out_of_range_are_rejected() {
    let at = |seconds, nanos| timestamp("t", Some(&prost_types::Timestamp { seconds, nanos }));
    assert_eq!(at(1, 2_000_000), Ok(Some(Timestamp(1002))));
    for (seconds, nanos) in [
        (-1, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (0, -1),
        (0, i32::MAX),
    ] {
        assert_eq!(at(seconds, nanos).unwrap_err().field, "t");
    }
}

#[test]
fn timeouts_are_positive_bounded_and_whole_milliseconds() {
    let of = |seconds, nanos| {
        let given = prost_types::Duration { seconds, nanos };
        timeout("t", Some(&given), Duration::from_secs(1))
    };
    assert_eq!(of(0, 1_000_000), Ok(Duration::from_millis(1)));
    assert_eq!(of(86_400, 0), Ok(Duration::from_secs(86_400)));
    for (seconds, nanos) in [
        (0, 0),
        (0, 1),
        (86_400, 1_000_000),
        (-1, 0),
        (0, -1),
        (i64::MAX, 0),
    ] {
        assert!(of(seconds, nanos).is_err(), "{seconds} {nanos}");
    }
}

#[test]
fn lists_are_accepted_at_their_bound_and_rejected_above() {
    for (given, fits) in [(10, true), (11, false), (100, false)] {
        assert_eq!(max_count("f", given, 10).is_ok(), fits);
        assert_eq!(bounded("f", &"x".repeat(given), 10).is_ok(), fits);
    }
}

#[test]
fn a_framing_header_is_rejected_as_a_credential() {
    assert_eq!(
        header_name("h", "Authorization").as_deref(),
        Ok("authorization")
    );
    for given in [
        "",
        "host",
        "Content-Length",
        "Mcp-Session-Id",
        "a b",
        "a:b",
        "a\r\nb",
        "é",
    ] {
        assert!(header_name("h", given).is_err(), "{given}");
    }
}

#[test]
fn a_header_value_is_one_line_and_is_never_repeated_in_the_error() {
    assert!(header_value("v", b"Bearer s3cret").is_ok());
    for given in [
        "",
        " x",
        "x ",
        "s3cret\r\nx: y",
        "s3cret\0",
        &"s3cret".repeat(2000),
    ] {
        let error = header_value("v", given.as_bytes()).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn an_empty_list_grants_everything_unless_none_is_set() {
    assert_eq!(allow_list("g", &[], false, slug), Ok(AllowList::All));
    assert_eq!(
        allow_list("g", &[], true, slug),
        Ok(AllowList::Only(Vec::new()))
    );
    assert!(allow_list("g", &["a".into()], true, slug).is_err());
    assert_eq!(
        allow_list("g", &["a".into(), "B".into()], false, slug)
            .unwrap_err()
            .field,
        "g[1]"
    );
}

/// Special times: milliseconds since 1970, as in RFC 3339, and the reason.
const SPECIAL_TIMES: &str = include_str!("../../../../tests/fixtures/special-times.txt");

#[test]
fn se_15_special_times_are_the_same_in_messages() {
    for line in SPECIAL_TIMES.lines() {
        let (millis, why) = line.split_once(' ').unwrap();
        let given = Timestamp(millis.parse().unwrap());
        for at in [given, Timestamp(given.0 + 1)] {
            let sent = to_timestamp(at);
            assert!((0..1_000_000_000).contains(&sent.nanos), "{why}");
            assert_eq!(timestamp("t", Some(&sent)).unwrap(), Some(at), "{why}");
        }
    }
}
