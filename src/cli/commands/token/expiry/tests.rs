//! Tests of the end of tokens.

use std::time::Duration;

use super::TokenExpiry;

#[test]
fn an_expiry_is_a_duration_or_a_date_and_time() {
    let day = Duration::from_secs(86_400);
    assert_eq!("1d".parse(), Ok(TokenExpiry::After(day)));
    for (text, at) in [
        ("2030-12-31T23:59:00Z", "2030-12-31T23:59:00Z"),
        ("2030-12-31T23:59:00+01:00", "2030-12-31T22:59:00Z"),
        ("2030-12-31 23:59:00Z", "2030-12-31T23:59:00Z"),
    ] {
        let expiry: TokenExpiry = text.parse().unwrap();
        assert_eq!(expiry.time(0).unwrap(), at, "{text}");
    }
}

#[test]
fn a_refused_expiry_names_both_forms() {
    // A date without a zone is another time in each place.
    for text in [
        "",
        "tomorrow",
        "3y",
        "0s",
        "2030-12-31",
        "2030-12-31T23:59:00",
    ] {
        let refused = text.parse::<TokenExpiry>().unwrap_err();
        for named in ["30d", "RFC 3339", "2030-12-31T23:59:00Z"] {
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }
}
