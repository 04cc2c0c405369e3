//! Events about requests without a token are limited.

use super::*;

#[test]
fn at_most_ten_events_a_second_are_about_requests_without_a_token() {
    let counter = AnonymousEventCounter::default();
    let admitted = |now: u64| {
        let tries = 0..1000;
        tries.filter(|_| counter.admits(Timestamp(now))).count()
    };
    assert_eq!(admitted(5_000), 10);
    assert_eq!(admitted(5_999), 0);
    assert_eq!(admitted(6_000), 10);
    // The clock is set back.
    assert_eq!(admitted(1_000), 10);
}

#[test]
fn an_event_names_the_digest_of_a_session_id_and_not_the_id() {
    let mut headers = HeaderMap::new();
    headers.insert(transport_request::SESSION, "secret".parse().unwrap());
    let digest = digest_of_session(&headers);
    assert_eq!(digest.len(), DIGEST_DIGITS);
    assert!(digest.bytes().all(|digit| digit.is_ascii_hexdigit()));
    headers.insert(transport_request::SESSION, "other".parse().unwrap());
    assert_ne!(digest_of_session(&headers), digest);
}
