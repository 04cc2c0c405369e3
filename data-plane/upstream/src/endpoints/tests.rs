//! Tests of endpoint health: a failed endpoint gives way to another one for a while.

use super::*;

fn endpoints(urls: &[&str]) -> Vec<EndpointStatus> {
    let status = |url: &&str| EndpointStatus {
        endpoint: Endpoint {
            url: url.parse().unwrap(),
            region: None,
        },
        health: EndpointHealth::Healthy,
    };
    urls.iter().map(status).collect()
}

fn failure(kind: UpstreamFailure) -> LastFailure {
    LastFailure::new(kind, "it is down")
}

fn index(
    observed: &ObservedEndpoints,
    endpoints: Vec<EndpointStatus>,
    trips: u32,
    now: Timestamp,
) -> Option<usize> {
    let last = || failure(UpstreamFailure::ServerError);
    let chosen = observed.choose(endpoints, "", trips, last, now);
    chosen.map(|it| it.index)
}

const TWO: &[&str] = &["https://a.example/", "https://b.example/"];

#[test]
fn an_endpoint_over_which_the_circuit_opened_gives_way_until_it_is_tried_again() {
    let observed = ObservedEndpoints::default();
    let now = Timestamp(1_000_000);
    let choose = |trips, now| index(&observed, endpoints(TWO), trips, now);
    assert_eq!(choose(0, now), Some(0));
    assert_eq!(choose(0, now), Some(0));
    assert_eq!(choose(1, now), Some(1));
    assert_eq!(choose(1, now), Some(1), "one failure is counted once");
    assert_eq!(choose(1, now.after(UNHEALTHY_FOR)), Some(0));
}

#[test]
fn endpoints_that_all_failed_are_tried_in_turn() {
    let observed = ObservedEndpoints::default();
    let now = Timestamp(1_000_000);
    let choose = |trips| index(&observed, endpoints(TWO), trips, now);
    let chosen: Vec<Option<usize>> = (0..5).map(choose).collect();
    assert_eq!(chosen, [Some(0), Some(1), Some(0), Some(1), Some(0)]);
}

#[test]
fn a_single_endpoint_is_called_however_often_it_failed() {
    let observed = ObservedEndpoints::default();
    for trips in 0..3 {
        let chosen = index(&observed, endpoints(&TWO[..1]), trips, Timestamp(0));
        assert_eq!(chosen, Some(0));
    }
    assert_eq!(index(&observed, Vec::new(), 9, Timestamp(0)), None);
}

#[test]
fn an_endpoint_without_a_connection_fails_from_then_on_until_it_answers() {
    let observed = ObservedEndpoints::default();
    let (first, now) = (endpoints(TWO).remove(0).endpoint, Timestamp(1_000));
    let cause = failure(UpstreamFailure::Unreachable);
    assert!(!observed.record_answer(&first), "nothing fails");
    assert!(observed.set_aside(&first, &cause, now));
    assert!(
        !observed.set_aside(&first, &cause, Timestamp(2_000)),
        "known"
    );
    let [failing] = &observed.failing()[..] else {
        panic!("{observed:?}");
    };
    assert_eq!((&failing.endpoint, failing.failing_since), (&first, now));
    assert_eq!(
        (failing.failure.as_str(), failing.detail.as_str()),
        ("upstream_unreachable", "it is down")
    );
    // It is told although it is tried again, which nothing has done yet.
    let later = now.after(2 * UNHEALTHY_FOR);
    assert_eq!(index(&observed, endpoints(TWO), 0, later), Some(0));
    assert!(observed.has_failing());
    assert!(observed.record_answer(&first));
    assert_eq!(
        (observed.failing(), observed.has_failing()),
        (Vec::new(), false)
    );
}

#[test]
fn a_ping_lifts_a_failure_to_connect_and_not_one_that_opened_the_circuit() {
    let observed = ObservedEndpoints::default();
    let (first, now) = (endpoints(TWO).remove(0).endpoint, Timestamp(1_000));
    observed.set_aside(&first, &failure(UpstreamFailure::Unreachable), now);
    assert_eq!(index(&observed, endpoints(TWO), 0, now), Some(1));
    assert!(observed.record_ping(&first, now));
    assert_eq!(index(&observed, endpoints(TWO), 0, now), Some(0), "at once");
    assert_eq!(
        index(&observed, endpoints(TWO), 1, now),
        Some(1),
        "the circuit"
    );
    assert_eq!(observed.failing()[0].failure, "upstream_server_error");
    assert!(!observed.record_ping(&first, now));
    assert_eq!(index(&observed, endpoints(TWO), 1, now), Some(1));
    assert!(observed.record_ping(&first, now.after(UNHEALTHY_FOR)));
    assert_eq!(observed.failing(), []);
}

#[test]
fn a_ping_lifts_a_failure_to_connect_also_if_the_circuit_opened_over_it() {
    let observed = ObservedEndpoints::default();
    let (first, now) = (endpoints(&TWO[..1]).remove(0).endpoint, Timestamp(1_000));
    let choose = |trips| {
        let last = || failure(UpstreamFailure::Unreachable);
        observed.choose(endpoints(TWO), "", trips, last, now)
    };
    assert_eq!(choose(0).map(|it| it.index), Some(0));
    assert_eq!(choose(1).map(|it| it.index), Some(1));
    assert!(observed.record_ping(&first, now));
    assert_eq!(observed.failing(), []);
    assert_eq!(index(&observed, endpoints(TWO), 1, now), Some(0));
}
