//! Tests of the findings.

use serde_json::json;

use super::{FindingSeverity, clock, expiring_tokens, fleet, store, transport};

#[test]
fn a_token_in_clear_text_over_a_network_is_reported() {
    assert_eq!(
        transport("http://127.0.0.1:7400").severity,
        FindingSeverity::Fine
    );
    assert_eq!(
        transport("https://admin.example").severity,
        FindingSeverity::Fine
    );
    assert_eq!(
        transport("http://admin.example:7400").severity,
        FindingSeverity::Warning
    );
}

#[test]
fn a_clock_skew_is_reported() {
    assert_eq!(clock(crate::cli::now()).severity, FindingSeverity::Fine);
    assert_eq!(clock(0).severity, FindingSeverity::Broken);
}

#[test]
fn each_proxy_state_has_its_verdict() {
    let version = |n: &str| json!({ "epoch": "1", "revision": n });
    let proxy = |connected: bool, acked: &str, refusals: serde_json::Value| json!({ "name": "proxies/a", "connected": connected, "wanted": version("5"), "acked": version(acked), "refusals": refusals });
    let cases = [
        (proxy(true, "5", json!([])), FindingSeverity::Fine),
        (proxy(true, "4", json!([])), FindingSeverity::Warning),
        (
            proxy(true, "5", json!([{ "resource": "gateway/a/b" }])),
            FindingSeverity::Broken,
        ),
        (proxy(false, "5", json!([])), FindingSeverity::Warning),
    ];
    for (proxy, verdict) in cases {
        assert_eq!(
            fleet(std::slice::from_ref(&proxy))[0].severity,
            verdict,
            "{proxy}"
        );
    }
    assert_eq!(fleet(&[])[0].severity, FindingSeverity::Broken);
}

#[test]
fn only_a_working_token_is_reported_as_expiring() {
    let token = |revoked: bool| {
        json!({
            "metadata": { "name": "organizations/a/tokens/t" },
            "spec": { "expireTime": "1970-01-01T01:00:00Z" },
            "status": { "revoked": revoked },
        })
    };
    assert_eq!(expiring_tokens(&[token(false), token(true)], 0).len(), 1);
    assert!(
        expiring_tokens(&[token(false)], 3_600_000).is_empty(),
        "it is over"
    );
}

#[test]
fn a_short_lived_token_is_reported_in_the_last_fifth_of_its_life() {
    let token = json!({
        "metadata": {
            "name": "organizations/default/tokens/short",
            "createTime": "1970-01-01T00:00:00Z",
        },
        "spec": { "expireTime": "1970-01-01T01:00:00Z" },
    });
    let minute = 60_000;
    assert!(expiring_tokens(std::slice::from_ref(&token), minute).is_empty());
    assert_eq!(expiring_tokens(&[token], 50 * minute).len(), 1);
}

#[test]
fn a_store_that_does_not_answer_is_broken() {
    assert_eq!(store(true, &[])[0].severity, FindingSeverity::Fine);
    assert_eq!(store(false, &[])[0].severity, FindingSeverity::Broken);
    let silent = json!({"subject": "store", "text": "does not answer: nothing can be written"});
    assert_eq!(
        store(false, std::slice::from_ref(&silent)).len(),
        1,
        "told once"
    );
}

#[test]
fn faults_that_the_control_plane_reports_are_findings_with_their_next_step() {
    let warnings = [
        json!({"subject": "store", "text": "83 % of 2 GiB in use: changes are not noticed; raise the quota"}),
        json!({"subject": "gateway acme/tools", "text": "cannot be read (cut off); write it again"}),
    ];
    let findings = store(true, &warnings);
    assert_eq!(findings[0].severity, FindingSeverity::Warning);
    assert_eq!(findings[0].fix, "raise the quota");
    assert_eq!(findings[1].severity, FindingSeverity::Broken);
    assert_eq!(findings[1].subject, "gateway acme/tools");
    assert_eq!(findings.len(), 2);
}
