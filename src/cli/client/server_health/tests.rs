//! Tests of the health of a server.

use serde_json::json;

use super::*;

fn server(proxies: Value) -> Value {
    json!({ "status": { "seen": true, "probeTime": "2026-01-01T00:00:00Z", "proxies": proxies } })
}

#[test]
fn a_server_that_fails_for_proxies_is_named_with_its_cause() {
    let failing = |proxy: &str| {
        json!({
            "proxy": proxy, "state": "HEALTH_STATE_UNAVAILABLE", "failure": "upstream_unreachable",
            "failingSinceTime": "1970-01-01T00:01:00Z", "detail": "no connection to it could be made",
        })
    };
    let both = server(json!([failing("p1"), failing("p2")]));
    assert_eq!(cell(&both), "fails: p1,p2");
    let expected = "it fails for proxies p1, p2: no connection to it could be made";
    assert_eq!(problem(&both).as_deref(), Some(expected));
    let described = describe(&observations(&both)[0], 72_000);
    assert_eq!(
        described,
        "fails since 12s: no connection to it could be made"
    );
}

#[test]
fn a_server_that_has_recovered_is_ready_and_its_outage_is_told() {
    let recovered = server(json!([{
        "proxy": "p1", "state": "HEALTH_STATE_AVAILABLE", "failure": "upstream_timeout",
        "failingSinceTime": "1970-01-01T00:01:00Z", "recoverTime": "1970-01-01T00:02:00Z",
    }]));
    assert_eq!(
        (cell(&recovered).as_str(), problem(&recovered)),
        ("ok", None)
    );
    let described = describe(&observations(&recovered)[0], 150_000);
    assert_eq!(
        described,
        "ok again since 30s, after 1m0s: upstream_timeout"
    );
}

#[test]
fn a_server_that_was_never_probed_is_not_ready() {
    let of_proxies_only = json!({ "status": { "proxies": [{ "proxy": "p1" }] } });
    assert_eq!(
        problem(&of_proxies_only).as_deref(),
        Some("it is not probed yet")
    );
    assert_eq!(problem(&json!({})).as_deref(), Some("it is not probed yet"));
    assert_eq!(problem(&server(json!([]))), None);
}

#[test]
fn each_endpoint_is_named_with_its_state_and_its_last_failure() {
    let failing = |proxy: &str, at: &str| {
        json!({
            "proxy": proxy, "state": "HEALTH_STATE_AVAILABLE", "failingSinceTime": at,
            "endpoints": [{
                "url": "https://a.example/mcp", "region": "eu", "failingSinceTime": at,
                "failure": "upstream_unreachable", "detail": "no connection to it could be made",
            }],
        })
    };
    let mut both = server(json!([
        failing("p1", "1970-01-01T00:02:00Z"),
        failing("p2", "1970-01-01T00:01:00Z"),
    ]));
    both["spec"]["endpoints"] = json!([
        { "url": "https://a.example/mcp", "region": "eu" }, { "url": "https://b.example/mcp" },
    ]);
    assert_eq!(cell(&both), "1 of 2 endpoints fails");
    assert_eq!(problem(&both), None, "calls are answered");
    let told: Vec<_> = endpoints(&both)
        .iter()
        .map(|it| (it.label.clone(), it.describe(72_000)))
        .collect();
    let failed = "fails for proxies p1, p2 since 12s: no connection to it could be made";
    assert_eq!(
        told[0],
        (
            "https://a.example/mcp (region eu)".to_owned(),
            failed.to_owned()
        )
    );
    assert_eq!(
        told[1],
        ("https://b.example/mcp".to_owned(), "ok".to_owned())
    );
    assert_eq!(warnings(&both).len(), 1);
    assert!(!observations(&both)[0].has_failed);
    assert_eq!(
        describe(&observations(&both)[0], 72_000),
        "ok, but an endpoint fails"
    );
}
