//! Events have no session ids.

use super::*;

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
