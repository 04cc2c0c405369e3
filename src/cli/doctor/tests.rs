//! Tests of the findings.

use serde_json::json;

use super::{Verdict, clock, ending, fleet, transport};

#[test]
fn a_token_in_clear_text_over_a_network_is_told() {
    assert_eq!(transport("http://127.0.0.1:7400").verdict, Verdict::Fine);
    assert_eq!(transport("https://admin.example").verdict, Verdict::Fine);
    assert_eq!(
        transport("http://admin.example:7400").verdict,
        Verdict::Doubtful
    );
}

#[test]
fn clocks_apart_are_told() {
    assert_eq!(clock(crate::cli::now()).verdict, Verdict::Fine);
    assert_eq!(clock(0).verdict, Verdict::Broken);
}

#[test]
fn each_state_of_a_proxy_has_its_verdict() {
    let version = |n: &str| json!({ "epoch": "1", "revision": n });
    let proxy = |connected: bool, acked: &str, refusals: serde_json::Value| json!({ "name": "proxies/a", "connected": connected, "wanted": version("5"), "acked": version(acked), "refusals": refusals });
    let cases = [
        (proxy(true, "5", json!([])), Verdict::Fine),
        (proxy(true, "4", json!([])), Verdict::Doubtful),
        (
            proxy(true, "5", json!([{ "resource": "gateway/a/b" }])),
            Verdict::Broken,
        ),
        (proxy(false, "5", json!([])), Verdict::Doubtful),
    ];
    for (proxy, verdict) in cases {
        assert_eq!(
            fleet(std::slice::from_ref(&proxy))[0].verdict,
            verdict,
            "{proxy}"
        );
    }
    assert_eq!(fleet(&[])[0].verdict, Verdict::Broken);
}

#[test]
fn only_a_token_that_still_works_needs_a_successor() {
    let token = |revoked: bool| {
        json!({
            "metadata": { "name": "organizations/a/tokens/t" },
            "spec": { "expireTime": "1970-01-01T01:00:00Z" },
            "status": { "revoked": revoked },
        })
    };
    assert_eq!(ending(&[token(false), token(true)], 0).len(), 1);
    assert!(ending(&[token(false)], 3_600_000).is_empty(), "it is over");
}
