//! Tests of the choice of an endpoint: health first, then the region, then the order.

use proptest::prelude::*;

use super::*;

fn status(region: &str, health: EndpointHealth) -> EndpointStatus {
    EndpointStatus {
        endpoint: Endpoint {
            url: "https://a.example/mcp".parse().unwrap(),
            region: Some(region.to_owned()).filter(|region| !region.is_empty()),
        },
        health,
    }
}

fn choose(endpoints: &[(&str, bool)], region: &str) -> Option<usize> {
    let status = |(region, healthy): &(&str, bool)| {
        let health = if *healthy {
            EndpointHealth::Healthy
        } else {
            EndpointHealth::Unhealthy
        };
        status(region, health)
    };
    let endpoints: Vec<EndpointStatus> = endpoints.iter().map(status).collect();
    choose_endpoint(&endpoints, region)
}

#[test]
fn no_endpoint_yields_no_choice_and_one_endpoint_is_chosen_whatever_its_health() {
    assert_eq!(choose(&[], "eu"), None);
    assert_eq!(choose(&[("", true)], "eu"), Some(0));
    assert_eq!(choose(&[("us", false)], "eu"), Some(0));
}

#[test]
fn a_healthy_endpoint_of_the_region_comes_first() {
    assert_eq!(choose(&[("us", true), ("eu", true)], "eu"), Some(1));
    assert_eq!(
        choose(&[("", true), ("eu", true), ("eu", true)], "eu"),
        Some(1)
    );
    // A proxy without a region prefers none, not even one without a region.
    assert_eq!(choose(&[("us", true), ("", true)], ""), Some(0));
}

#[test]
fn health_outweighs_the_region() {
    assert_eq!(choose(&[("eu", false), ("us", true)], "eu"), Some(1));
    // If none is healthy, the region decides again.
    assert_eq!(choose(&[("us", false), ("eu", false)], "eu"), Some(1));
    assert_eq!(choose(&[("us", false), ("asia", false)], "eu"), Some(0));
}

proptest! {
    #[test]
    fn no_endpoint_is_better_than_the_chosen_one(
        endpoints in prop::collection::vec((0..3usize, any::<bool>()), 1..6),
    ) {
        let regions = ["", "eu", "us"];
        let endpoints: Vec<(&str, bool)> =
            endpoints.into_iter().map(|(region, healthy)| (regions[region], healthy)).collect();
        let chosen = choose(&endpoints, "eu").unwrap();
        let (region, healthy) = endpoints[chosen];
        let better = |(other, fit): &(&str, bool)| {
            (*fit && !healthy) || (*fit == healthy && *other == "eu" && region != "eu")
        };
        prop_assert!(!endpoints.iter().any(better));
        let equal = |(other, fit): &(&str, bool)| *fit == healthy && (*other == "eu") == (region == "eu");
        prop_assert!(!endpoints[..chosen].iter().any(equal));
    }
}
