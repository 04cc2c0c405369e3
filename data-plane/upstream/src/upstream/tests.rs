//! A failing server refuses only its own callers, and recovers by itself.

use std::time::Duration;

use toolgate_model::Timestamp;
use toolgate_runtime::ManualClock;

use super::*;
use crate::{
    circuit_breaker::FAILURES,
    fixture::{CALLS_PER_SERVER, CROWDED, CROWDED_SHARE, registry, server},
};

fn upstream(clock: &Arc<ManualClock>) -> Arc<Upstream> {
    registry(Some(clock)).upstream(&server("one", 0)).unwrap()
}

fn broken(upstream: &Arc<Upstream>) {
    for _ in 0..FAILURES {
        upstream
            .permit()
            .unwrap()
            .record_failure(UpstreamFailure::Broken);
    }
}

#[test]
fn a_failing_server_is_paused_and_then_probed_by_one_call() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    broken(&upstream);
    assert_eq!(upstream.permit().err(), Some(UpstreamFailure::CircuitOpen));
    clock.advance(Duration::from_secs(2));
    let mut probe = upstream.permit().unwrap();
    assert_eq!(upstream.permit().err(), Some(UpstreamFailure::CircuitOpen));
    probe.record_success();
    assert!(upstream.permit().is_ok());
}

#[test]
fn the_circuit_trips_when_it_opens_and_with_each_probe_that_fails() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    assert_eq!(upstream.trips(), 0);
    broken(&upstream);
    assert_eq!(upstream.trips(), 1);
    clock.advance(Duration::from_secs(2));
    upstream
        .permit()
        .unwrap()
        .record_failure(UpstreamFailure::Broken);
    assert_eq!(upstream.trips(), 2);
    clock.advance(Duration::from_secs(60));
    upstream.permit().unwrap().record_success();
    assert_eq!(upstream.trips(), 2);
}

#[test]
fn a_probe_that_fails_after_a_ping_closed_the_circuit_trips_it_once() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    broken(&upstream);
    clock.advance(Duration::from_secs(2));
    let mut probe = upstream.permit().unwrap();
    WatchedServer::record_ping(Arc::clone(&upstream));
    assert_eq!(upstream.trips(), 1);
    probe.record_failure(UpstreamFailure::Broken);
    assert_eq!(upstream.trips(), 2);
    assert!(upstream.is_circuit_open());
}

#[test]
fn a_failed_probe_does_not_report_a_server_whose_circuit_another_call_closed() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    broken(&upstream);
    clock.advance(Duration::from_secs(2));
    let mut slow = upstream.permit().unwrap();
    clock.advance(Duration::from_secs(10));
    upstream.permit().unwrap().record_success();
    slow.record_failure(UpstreamFailure::Timeout);
    assert_eq!(upstream.trips(), 1);
    assert!(!upstream.is_circuit_open());
    assert!(!upstream.health.is_failing(upstream.reported_server()));
}

#[test]
fn a_failure_that_the_proxy_or_a_caller_causes_does_not_open_the_circuit() {
    for failure in [UpstreamFailure::ResourcesExhausted, UpstreamFailure::Loop] {
        let clock = ManualClock::new(Timestamp(0));
        let upstream = upstream(&clock);
        for _ in 0..20 {
            let mut permit = upstream.permit().unwrap();
            permit.record_failure(failure);
        }
        assert!(!upstream.has_failures(), "{failure:?}");
        // A probe with such an outcome leaves the circuit to the next one.
        broken(&upstream);
        clock.advance(Duration::from_secs(2));
        let mut probe = upstream.permit().unwrap();
        probe.record_failure(failure);
        drop(probe);
        assert!(upstream.permit().is_ok(), "{failure:?}");
    }
}

#[test]
fn a_limit_of_a_gateway_does_not_open_the_circuit() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    for _ in 0..FAILURES {
        let mut permit = upstream.permit().unwrap();
        permit.tolerate_timeout();
        permit.record_failure(UpstreamFailure::Timeout);
    }
    assert!(!upstream.has_failures());
    broken(&upstream);
    assert!(upstream.is_circuit_open());
}

#[test]
fn a_probe_is_over_when_its_stream_begins() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    broken(&upstream);
    clock.advance(Duration::from_secs(2));
    let mut probe = upstream.permit().unwrap();
    probe.stream_began();
    assert!(upstream.permit().is_ok(), "the stream may last for minutes");
    probe.record_failure(UpstreamFailure::Broken);
    assert!(upstream.permit().is_ok(), "its failure is one of several");
}

#[test]
fn a_released_probe_makes_room_for_another() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    broken(&upstream);
    clock.advance(Duration::from_secs(2));
    drop(upstream.permit().unwrap());
    assert!(upstream.permit().is_ok());
}

#[test]
fn rejections_unrelated_to_health_do_not_count() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    for _ in 0..20 {
        upstream
            .permit()
            .unwrap()
            .record_failure(UpstreamFailure::Credential);
        upstream
            .permit()
            .unwrap()
            .record_failure(UpstreamFailure::RateLimited);
    }
    assert!(upstream.permit().is_ok());
}

#[test]
fn ov_10_bad_requests_of_one_caller_do_not_open_the_circuit_for_others() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    for _ in 0..100 {
        // The failure of a bare 400 or 404, or of a page of HTML.
        upstream
            .permit()
            .unwrap()
            .record_failure(UpstreamFailure::Malformed);
    }
    assert!(upstream.permit().is_ok());
}

#[test]
fn concurrent_calls_per_server_are_bounded() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    let held: Vec<_> = (0..CALLS_PER_SERVER)
        .map(|_| upstream.permit().unwrap())
        .collect();
    assert_eq!(upstream.permit().err(), Some(UpstreamFailure::Busy));
    drop(held);
    assert!(upstream.permit().is_ok());
}

#[test]
fn calls_per_server_are_limited_per_principal() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    let (ada, bob) = (BudgetOwner::of(&"ada"), BudgetOwner::of(&"bob"));
    let held: Vec<_> = std::iter::from_fn(|| upstream.permit_for(ada).ok()).collect();
    assert_eq!(held.len(), CROWDED + CROWDED_SHARE);
    let others: Vec<_> = std::iter::from_fn(|| upstream.permit_for(bob).ok()).collect();
    assert_eq!(others.len(), CALLS_PER_SERVER - CROWDED - CROWDED_SHARE);
    drop((held, others));
    assert_eq!(upstream.bulkhead.load(), (0, 0), "none is kept");
}

/// A call that waits for answers of its client does not occupy its server.
#[test]
fn a_suspended_call_holds_no_call_slot() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    let mut held: Vec<_> = (0..CALLS_PER_SERVER)
        .map(|_| upstream.permit().unwrap())
        .collect();
    for permit in &mut held {
        permit.release();
    }
    let next: Vec<_> = (0..CALLS_PER_SERVER)
        .map(|_| upstream.permit().unwrap())
        .collect();
    drop(held);
    assert_eq!(
        upstream.permit().err(),
        Some(UpstreamFailure::Busy),
        "counted once"
    );
    drop(next);
    assert_eq!(upstream.bulkhead.load().0, 0);
}

#[test]
fn pending_messages_to_a_stalled_server_are_bounded() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    let mut before: Vec<_> = std::iter::from_fn(|| upstream.message_permit())
        .take(CALLS_PER_SERVER + 1)
        .collect();
    assert_eq!(before.len(), CALLS_PER_SERVER);
    // A message that is accepted, or given up, makes room for another.
    before.pop();
    let another = upstream.message_permit();
    assert!(another.is_some());
    assert!(upstream.message_permit().is_none());
}

#[test]
fn an_open_circuit_is_counted_and_closed_by_an_answer_in_flight() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    let mut in_flight = upstream.permit().unwrap();
    assert!(!upstream.has_failures());
    broken(&upstream);
    assert!(upstream.has_failures() && upstream.is_circuit_open());
    in_flight.record_success();
    assert!(!upstream.has_failures() && !upstream.is_circuit_open());
}

#[test]
fn a_probe_that_fails_opens_the_circuit_for_longer() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    broken(&upstream);
    clock.advance(Duration::from_secs(1));
    let mut probe = upstream.permit().unwrap();
    probe.record_failure(UpstreamFailure::Timeout);
    drop(probe);
    let refused = Some(UpstreamFailure::CircuitOpen);
    assert_eq!(upstream.permit().err(), refused);
    clock.advance(Duration::from_millis(999));
    assert_eq!(upstream.permit().err(), refused);
    clock.advance(Duration::from_millis(1_002));
    assert!(upstream.permit().is_ok());
}

#[test]
fn a_refused_permit_takes_no_place() {
    let clock = ManualClock::new(Timestamp(0));
    let upstream = upstream(&clock);
    broken(&upstream);
    for _ in 0..2 * CALLS_PER_SERVER {
        assert_eq!(upstream.permit().err(), Some(UpstreamFailure::CircuitOpen));
    }
    assert_eq!(upstream.bulkhead.load(), (0, 0));
}
