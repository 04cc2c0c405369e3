//! One sick server refuses only its own callers, and comes back by itself.

use std::time::Duration;

use toolgate_model::{CallTimeouts, Digest, Timestamp};
use toolgate_runtime::ManualClock;

use super::*;

fn server(id: &str, revision: u8) -> Arc<ServerView> {
    Arc::new(ServerView {
        name: ObjectName::new("acme".parse().unwrap(), id.parse().unwrap()),
        url: "http://127.0.0.1:1/".into(),
        credential: None,
        era: None,
        protocol_version: None,
        relay: toolgate_model::RelayPolicy::default(),
        sharing: toolgate_model::SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
        timeouts: CallTimeouts::default(),
        digest: Digest([revision; 32]),
    })
}

fn station(clock: &Arc<ManualClock>) -> Arc<Station<()>> {
    let clock: SharedClock = Arc::clone(clock) as SharedClock;
    Arc::new(Station::new(server("one", 0), (), clock))
}

fn broken(station: &Arc<Station<()>>) {
    for _ in 0..crate::circuit::FAILURES {
        station.leave().unwrap().failed(UpstreamFailure::Broken);
    }
}

#[test]
fn a_failing_server_is_paused_and_then_probed_by_one_call() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    broken(&station);
    assert_eq!(station.leave().err(), Some(UpstreamFailure::CircuitOpen));
    clock.advance(Duration::from_secs(2));
    let mut probe = station.leave().unwrap();
    assert_eq!(station.leave().err(), Some(UpstreamFailure::CircuitOpen));
    probe.worked();
    assert!(station.leave().is_ok());
}

#[test]
fn a_released_probe_makes_room_for_another() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    broken(&station);
    clock.advance(Duration::from_secs(2));
    drop(station.leave().unwrap());
    assert!(station.leave().is_ok());
}

#[test]
fn rejections_unrelated_to_health_do_not_count() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    for _ in 0..20 {
        station.leave().unwrap().failed(UpstreamFailure::Credential);
        station
            .leave()
            .unwrap()
            .failed(UpstreamFailure::RateLimited);
    }
    assert!(station.leave().is_ok());
}

#[test]
fn ov_10_bad_requests_of_one_caller_do_not_open_the_circuit_for_others() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    for _ in 0..100 {
        // What becomes of a bare 400 or 404, or of a page of HTML.
        station.leave().unwrap().failed(UpstreamFailure::Malformed);
    }
    assert!(station.leave().is_ok());
}

#[test]
fn concurrent_calls_per_server_are_bounded() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    let held: Vec<_> = (0..CALLS_PER_SERVER)
        .map(|_| station.leave().unwrap())
        .collect();
    assert_eq!(station.leave().err(), Some(UpstreamFailure::Busy));
    drop(held);
    assert!(station.leave().is_ok());
}

#[test]
fn calls_per_server_are_limited_per_principal() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    let (ada, bob) = (BudgetOwner::of(&"ada"), BudgetOwner::of(&"bob"));
    let held: Vec<_> = std::iter::from_fn(|| station.leave_for(ada).ok()).collect();
    assert_eq!(held.len(), CROWDED + SHARE);
    let others: Vec<_> = std::iter::from_fn(|| station.leave_for(bob).ok()).collect();
    assert_eq!(others.len(), CALLS_PER_SERVER - CROWDED - SHARE);
    drop((held, others));
    assert_eq!(station.calls.load(Ordering::Relaxed), 0);
    assert_eq!(station.crowd.owners(), 0, "nobody is kept");
}

/// A call whose server has answered and waits for its client to say more: nothing of it is there.
#[test]
fn a_suspended_call_holds_no_call_slot() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    let mut held: Vec<_> = (0..CALLS_PER_SERVER)
        .map(|_| station.leave().unwrap())
        .collect();
    for leave in &mut held {
        leave.rests();
    }
    let next: Vec<_> = (0..CALLS_PER_SERVER)
        .map(|_| station.leave().unwrap())
        .collect();
    drop(held);
    assert_eq!(
        station.leave().err(),
        Some(UpstreamFailure::Busy),
        "counted once"
    );
    drop(next);
    assert_eq!(station.calls.load(Ordering::Relaxed), 0);
}

#[test]
fn a_changed_configuration_gets_a_new_upstream_and_removed_servers_are_dropped() {
    let stations: Stations<u8> = Stations::new();
    let clock: SharedClock = ManualClock::new(Timestamp(0));
    let of = |server: &Arc<ServerView>, target| {
        let made = || Ok(Station::new(Arc::clone(server), target, Arc::clone(&clock)));
        stations.of(server, made).unwrap().target
    };
    let (first, changed) = (server("one", 0), server("one", 1));
    assert_eq!(of(&first, 1), 1);
    assert_eq!(of(&first, 2), 1);
    assert_eq!(of(&changed, 3), 3);
    assert_eq!(of(&server("two", 0), 4), 4);
    stations.retain(|name| name.id.as_str() == "two");
    assert_eq!(stations.all.load().len(), 1);
}

#[test]
fn pending_messages_to_a_stalled_server_are_bounded() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    let mut before: Vec<_> = std::iter::from_fn(|| station.note())
        .take(NOTES + 1)
        .collect();
    assert_eq!(before.len(), NOTES);
    // What is taken in, or given up, makes room for another.
    before.pop();
    let another = station.note();
    assert!(another.is_some());
    assert!(station.note().is_none());
}
