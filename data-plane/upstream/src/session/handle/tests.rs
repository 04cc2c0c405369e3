//! Tests of an established session: request ids are unique, concurrent rejections are limited, and messages carry the
//! session's headers.

use std::collections::BTreeSet;

use super::*;

fn session(session_id: Option<&str>) -> Arc<UpstreamSessionHandle> {
    let handshake = HandshakeResult {
        session_id: session_id.map(Box::from),
        version: "2025-06-18".into(),
        capabilities: "{}".into(),
        http_sse: None,
    };
    Arc::new(UpstreamSessionHandle::new(handshake, Timestamp(0)))
}

#[test]
fn concurrent_rejections_of_server_requests_are_bounded() {
    let session = session(None);
    let mut under_way: Vec<RejectionPermit> = (0..100)
        .filter_map(|_| session.acquire_rejection_permit())
        .collect();
    assert_eq!(under_way.len(), MAX_CONCURRENT_REJECTIONS);
    under_way.pop();
    under_way.extend(session.acquire_rejection_permit());
    assert_eq!(under_way.len(), MAX_CONCURRENT_REJECTIONS);
    assert!(session.acquire_rejection_permit().is_none());
    under_way.clear();
    assert!(session.acquire_rejection_permit().is_some());
}

#[test]
fn request_ids_of_a_session_never_repeat() {
    let session = session(None);
    let ids: BTreeSet<u64> = (0..1000).map(|_| session.next_id()).collect();
    assert_eq!(ids.len(), 1000);
    assert!(!ids.contains(&0));
}

#[test]
fn messages_carry_the_id_and_version_of_their_session() {
    for session_id in [None, Some("s-1")] {
        let session = session(session_id);
        assert!(!session.is_lost(), "it has no stream of its own");
        let headers = format!("{:?}", session.headers());
        assert!(headers.contains("2025-06-18"), "{headers}");
    }
}

#[test]
fn the_time_of_the_last_use_never_goes_backwards() {
    let session = session(None);
    session.touch(Timestamp(5));
    session.touch(Timestamp(4));
    assert_eq!(session.last_used(), Timestamp(5));
}

#[test]
fn the_debug_text_does_not_contain_the_session_id() {
    let text = format!("{:?}", session(Some("secret-id")));
    assert_eq!(text, "UpstreamSessionHandle(2025-06-18)");
}
