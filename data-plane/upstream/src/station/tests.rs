//! One sick server refuses only its own callers, and comes back by itself.

use std::time::Duration;

use toolgate_model::{Digest, Timeouts, Timestamp};
use toolgate_runtime::ManualClock;

use super::*;

fn server(id: &str, revision: u8) -> Arc<ServerView> {
    Arc::new(ServerView {
        name: Name::new("acme".parse().unwrap(), id.parse().unwrap()),
        url: "http://127.0.0.1:1/".into(),
        credential: None,
        era: None,
        protocol_version: None,
        relay: toolgate_model::RelayPolicy::default(),
        sharing: toolgate_model::Sharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
        timeouts: Timeouts::default(),
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
fn a_server_that_keeps_failing_is_given_a_pause_and_then_tried_by_one() {
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
fn a_probe_that_is_let_go_of_makes_room_for_another() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    broken(&station);
    clock.advance(Duration::from_secs(2));
    drop(station.leave().unwrap());
    assert!(station.leave().is_ok());
}

#[test]
fn refusals_that_say_nothing_of_its_health_do_not_count() {
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
fn ov_10_one_callers_bad_requests_do_not_close_the_server_to_others() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    for _ in 0..100 {
        // What becomes of a bare 400 or 404, or of a page of HTML.
        station.leave().unwrap().failed(UpstreamFailure::Malformed);
    }
    assert!(station.leave().is_ok());
}

#[test]
fn calls_at_one_server_are_bounded() {
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
fn one_principal_leaves_room_at_a_server_for_others() {
    let clock = ManualClock::new(Timestamp(0));
    let station = station(&clock);
    let (ada, bob) = (Holder::of(&"ada"), Holder::of(&"bob"));
    let held: Vec<_> = std::iter::from_fn(|| station.leave_for(ada).ok()).collect();
    assert_eq!(held.len(), CROWDED + SHARE);
    let others: Vec<_> = std::iter::from_fn(|| station.leave_for(bob).ok()).collect();
    assert_eq!(others.len(), CALLS_PER_SERVER - CROWDED - SHARE);
    drop((held, others));
    assert_eq!(station.calls.load(Ordering::Relaxed), 0);
    assert_eq!(station.crowd.holders(), 0, "nobody is kept");
}

/// A call whose server has answered and waits for its client to say more: nothing of it is there.
#[test]
fn a_call_that_rests_takes_no_place_from_others() {
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
fn another_configuration_is_another_station_and_gone_servers_are_forgotten() {
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
fn a_server_that_takes_in_nothing_has_so_many_messages_before_it_and_no_more() {
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
