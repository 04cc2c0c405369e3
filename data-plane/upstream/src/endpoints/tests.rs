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

const TWO: &[&str] = &["https://a.example/", "https://b.example/"];

#[test]
fn an_endpoint_over_which_the_circuit_opened_gives_way_until_it_is_tried_again() {
    let observed = ObservedEndpoints::default();
    let now = Timestamp(1_000_000);
    let choose = |trips, now| observed.choose(endpoints(TWO), "", trips, now);
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
    let choose = |trips| observed.choose(endpoints(TWO), "", trips, now);
    let chosen: Vec<Option<usize>> = (0..5).map(choose).collect();
    assert_eq!(chosen, [Some(0), Some(1), Some(0), Some(1), Some(0)]);
}

#[test]
fn a_single_endpoint_is_called_however_often_it_failed() {
    let observed = ObservedEndpoints::default();
    for trips in 0..3 {
        let chosen = observed.choose(endpoints(&TWO[..1]), "", trips, Timestamp(0));
        assert_eq!(chosen, Some(0));
    }
    assert_eq!(observed.choose(Vec::new(), "", 9, Timestamp(0)), None);
}
