//! Tests of filters: they are parsed strictly and within bounds, and the acknowledged part is encoded again.

use super::*;

#[test]
fn known_filter_members_are_echoed_and_unknown_ones_left_out() {
    let filter = SubscriptionFilter::read(
        br#"{"toolsListChanged":true,"promptsListChanged":false,"taskIds":["x","y","x"],"other":1,"resourceSubscriptions":["b:1","a\u003a1","b:1"]}"#,
    )
    .unwrap();
    assert_eq!(
        filter.to_json(),
        r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1","b:1"],"taskIds":["x","y"]}"#
    );
    assert_eq!(
        SubscriptionFilter::read(filter.to_json().as_bytes()),
        Ok(filter)
    );
    assert_eq!(
        SubscriptionFilter::read(b"{}"),
        Ok(SubscriptionFilter::default())
    );
    assert_eq!(SubscriptionFilter::default().to_json(), "{}");
}

#[test]
fn wrong_types_and_sizes_are_rejected() {
    let many = serde_json::json!({"resourceSubscriptions": vec!["a:b"; MAX_URIS + 1]});
    let long = serde_json::json!({"resourceSubscriptions": ["x".repeat(URI_LIMIT + 1)]});
    for json in [
        r#"{"toolsListChanged":"yes"}"#,
        r#"{"resourcesListChanged":1}"#,
        r#"{"resourceSubscriptions":"a:b"}"#,
        r#"{"taskIds":"x"}"#,
        &serde_json::json!({"taskIds": vec!["x"; MAX_TASKS + 1]}).to_string(),
        r#"{"resourceSubscriptions":[1]}"#,
        r#"{"resourceSubscriptions":[""]}"#,
        &many.to_string(),
        &long.to_string(),
    ] {
        assert!(SubscriptionFilter::read(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn a_sub_resource_is_covered_and_a_sibling_is_not() {
    let uris = ["file:///a", "test://b/"].map(Box::from).into();
    let asked = SubscriptionFilter {
        uris,
        ..SubscriptionFilter::default()
    };
    for (uri, whole) in [
        ("file:///a", Some("file:///a")),
        ("file:///a/x", Some("file:///a")),
        ("file:///a#x", Some("file:///a")),
        ("file:///a?x", Some("file:///a")),
        ("file:///ab", None),
        ("file:///", None),
        ("test://b/c", Some("test://b/")),
    ] {
        assert_eq!(asked.covering(uri), whole, "{uri}");
    }
}
