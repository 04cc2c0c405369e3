//! Tests at the boundaries of decisions: the last moment, the same version, an earlier nonce, an empty report.

use super::*;
use crate::{ControlObject, ObjectKey, fixture::StoreFixture};

#[test]
fn a_proxy_has_ten_seconds_for_its_hello() {
    let mut session = PushSession::new(Timestamp(0));
    let early = session.step(PushEvent::Tick, Timestamp(9_999));
    assert_eq!(closed(&early), None);
    assert!(!session.is_closed());
    let late = session.step(PushEvent::Tick, Timestamp(10_000));
    assert_eq!(closed(&late), Some(PushCloseReason::NoHello));
    assert!(session.is_closed());
}

#[test]
fn a_proxy_that_holds_the_version_gets_what_it_lacks_of_it() {
    let mut session = open(&snapshot(6, &[(1, 1)]));
    let wanted = snapshot(6, &[(1, 1), (2, 2)]);
    let outputs = session.step(PushEvent::SnapshotReady(wanted), Timestamp(2));
    let (_, delta) = sent(&outputs).unwrap();
    assert_eq!(delta.puts, [(key(2), entry(2))]);
    assert_eq!(delta.removes, []);
}

#[test]
fn an_answer_to_an_earlier_update_ends_the_stream() {
    let mut session = open(&Snapshot::default());
    let publish = |session: &mut PushSession, revision: u64, content: u8| {
        let ready = PushEvent::SnapshotReady(snapshot(revision, &[(1, content)]));
        sent(&session.step(ready, Timestamp(2))).unwrap().0
    };
    let first = publish(&mut session, 1, 1);
    let acked = session.step(PushEvent::Ack { nonce: first }, Timestamp(3));
    assert_eq!(closed(&acked), None);
    let second = publish(&mut session, 2, 2);
    assert_ne!(first, second);
    let outputs = session.step(PushEvent::Ack { nonce: first }, Timestamp(4));
    assert_eq!(closed(&outputs), Some(PushCloseReason::WrongNonce));
    assert!(!recorded(&outputs).unwrap().connected);
}

#[test]
fn a_resource_that_came_and_went_between_two_updates_is_not_removed() {
    let mut session = open(&Snapshot::default());
    let first = snapshot(1, &[(1, 1)]);
    let ready = PushEvent::SnapshotReady(Arc::clone(&first));
    let (nonce, _) = sent(&session.step(ready, Timestamp(2))).unwrap();
    let mut next = Snapshot::clone(&first);
    next.version.revision = 3;
    next.entries.insert(key(2), entry(2));
    next.entries.remove(&key(2));
    let before = session.comparisons();
    let ready = PushEvent::SnapshotReady(Arc::new(next));
    assert!(sent(&session.step(ready, Timestamp(3))).is_none());
    let outputs = session.step(PushEvent::Ack { nonce }, Timestamp(4));
    let (_, delta) = sent(&outputs).unwrap();
    assert_eq!(session.comparisons() - before, 1);
    assert_eq!(delta.puts, []);
    assert_eq!(delta.removes, []);
}

#[test]
fn an_empty_report_that_replaces_the_servers_leaves_none() {
    let mut session = open(&Snapshot::default());
    let now = Timestamp(1).after(OBSERVATION_INTERVAL);
    let failing = health("wiki", HealthState::Unavailable, now, 1);
    let _reported = session.step(report_of(vec![failing], true), now);
    let servers = |session: &PushSession| session.proxy().unwrap().servers.len();
    assert_eq!(servers(&session), 1);
    let _nothing = session.step(report_of(Vec::new(), false), now);
    assert_eq!(servers(&session), 1);
    let _replaced = session.step(report_of(Vec::new(), true), now);
    assert_eq!(servers(&session), 0);
}

#[test]
fn the_resources_of_a_proxy_are_known_from_its_hello_to_the_end_of_its_stream() {
    let mut session = PushSession::new(Timestamp(0));
    assert_eq!(session.holds(), None);
    let (held, wanted) = (snapshot(5, &[(1, 1)]), snapshot(6, &[(1, 1), (2, 2)]));
    let _recorded = session.step(hello(&held), Timestamp(1));
    assert_eq!(session.holds(), Some(&held.digests()));
    let ready = PushEvent::SnapshotReady(Arc::clone(&wanted));
    let (nonce, _) = sent(&session.step(ready, Timestamp(2))).unwrap();
    assert_eq!(session.holds(), Some(&held.digests()), "not acknowledged");
    let _recorded = session.step(PushEvent::Ack { nonce }, Timestamp(3));
    assert_eq!(session.holds(), Some(&wanted.digests()));
    let _closed = session.step(PushEvent::Disconnected, Timestamp(4));
    assert!(session.is_closed());
    assert_eq!((session.holds(), session.proxy()), (None, None));
}

fn status(id: &str, connected: bool, last_seen: Timestamp) -> ProxyStatus {
    let session = open(&Snapshot::default());
    ProxyStatus {
        id: id.parse().unwrap(),
        connected,
        last_seen,
        ..session.proxy().unwrap().clone()
    }
}

#[test]
fn a_record_of_a_connected_proxy_counts_for_ninety_seconds() {
    let seen = Timestamp(1_000_000);
    for (connected, age_ms, expected) in [
        (true, 0, true),
        (true, 90_000, true),
        (true, 90_001, false),
        (false, 0, false),
        (false, 90_001, false),
    ] {
        let now = Timestamp(seen.0 + age_ms);
        let known = is_connected(&status("p1", connected, seen), now);
        assert_eq!(known, expected, "{connected} {age_ms}");
    }
}

#[test]
fn rate_limits_are_divided_by_the_number_of_connected_proxies_and_at_least_by_one() {
    let now = Timestamp(1_000_000);
    let mut world = StoreFixture::default();
    assert_eq!(serving_proxies(&world.state, now), 1);
    for (id, connected, age_ms) in [
        ("p1", true, 0),
        ("p2", true, 30_000),
        ("p3", true, 90_000),
        ("ended", false, 0),
        ("stale", true, 90_001),
    ] {
        let record = status(id, connected, Timestamp(now.0 - age_ms));
        let key = ObjectKey::Proxy(record.id.clone()).to_string();
        world.force(&key, ControlObject::Proxy(Arc::new(record)));
    }
    assert_eq!(serving_proxies(&world.state, now), 3);
}
