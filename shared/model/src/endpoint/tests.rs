//! Tests of endpoint lists: one plain endpoint keeps the form, and so the digest, of builds that knew one URL only.

use super::*;
use crate::Digest;

fn endpoint(url: &str, region: Option<&str>) -> Endpoint {
    Endpoint {
        url: url.parse().unwrap(),
        region: region.map(str::to_owned),
    }
}

#[test]
fn one_plain_endpoint_has_the_digest_of_its_url() {
    let single = "https://a.example/mcp".parse::<EndpointList>().unwrap();
    assert_eq!(
        Digest::of(&single),
        Digest::of(&"https://a.example/mcp".to_owned())
    );
    let regional = EndpointList::new(vec![endpoint("https://a.example/mcp", Some("eu"))]).unwrap();
    assert_ne!(Digest::of(&single), Digest::of(&regional));
}

#[test]
fn every_list_round_trips_and_none_is_empty() {
    let (a, b) = (
        endpoint("https://a.example/mcp", None),
        endpoint("https://b.example/mcp", Some("eu")),
    );
    for list in [vec![a.clone()], vec![b.clone()], vec![a.clone(), b.clone()]] {
        let list = EndpointList::new(list).unwrap();
        let json = serde_json::to_string(&list).unwrap();
        assert_eq!(serde_json::from_str::<EndpointList>(&json).unwrap(), list);
    }
    assert!(EndpointList::new(Vec::new()).is_none());
    assert!(serde_json::from_str::<EndpointList>("[]").is_err());
    let list = EndpointList::new(vec![a.clone(), b.clone()]).unwrap();
    assert_eq!((list.first(), list.count()), (&a, 2));
    assert_eq!(list.iter().collect::<Vec<_>>(), [&a, &b]);
}
