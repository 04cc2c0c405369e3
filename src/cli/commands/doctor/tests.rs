//! Tests of the findings.

use serde_json::{Value, json};

use super::{
    FindingSeverity, clock, expiring_tokens, gateway_finding, identity_providers, lost_gateways,
    proxies::fleet,
    servers::{DoctorProbe, server_finding},
    store, transport,
};
use crate::cli::output::error::CliError;

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
fn the_clock_of_each_proxy_is_checked() {
    let proxy =
        |offset: &str| json!({ "name": "proxies/a", "connected": true, "clockOffset": offset });
    let broken = |offset: &str| {
        let findings = fleet(&[proxy(offset)]);
        let clock = findings.iter().find(|it| it.subject == "clock of proxy a");
        clock.map(|it| (it.severity, it.detail.clone()))
    };
    assert_eq!(broken("12s"), None);
    let (severity, detail) = broken("-180s").unwrap();
    assert_eq!(severity, FindingSeverity::Broken);
    assert_eq!(detail, "its clock is 3m0s behind that of its control plane");
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
fn a_proxy_with_a_later_version_than_the_store_is_broken_and_needs_a_new_epoch() {
    let version = |epoch: &str, n: &str| json!({ "epoch": epoch, "revision": n });
    let proxy = |wanted, acked| json!({ "name": "proxies/a", "connected": true, "wanted": wanted, "acked": acked });
    for (wanted, acked) in [
        (version("1", "9"), version("1", "10")),
        (version("1", "900"), version("2", "5")),
    ] {
        let findings = fleet(&[proxy(wanted, acked)]);
        assert_eq!(findings[0].severity, FindingSeverity::Broken);
        assert!(
            findings[0].fix.contains("`--new-epoch`"),
            "{}",
            findings[0].fix
        );
    }
    let behind = fleet(&[proxy(version("2", "5"), version("1", "900"))]);
    assert_eq!(behind[0].severity, FindingSeverity::Warning);
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
    let silent = json!({
        "subject": "store", "text": "does not answer: nothing can be written", "reason": "STORE_UNAVAILABLE",
        "severity": "PROBLEM_SEVERITY_ERROR",
    });
    assert_eq!(
        store(false, std::slice::from_ref(&silent)).len(),
        1,
        "told once"
    );
}

#[test]
fn a_store_that_is_not_followed_is_broken_and_not_said_to_answer_or_to_be_silent() {
    let refused = json!({
        "subject": "store history", "text": "is not followed: it went back; restart it", "reason": "STORE_NOT_FOLLOWED",
        "severity": "PROBLEM_SEVERITY_ERROR",
    });
    for reads_latest in [true, false] {
        let findings = store(reads_latest, std::slice::from_ref(&refused));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].severity, FindingSeverity::Broken);
        assert_eq!(findings[0].fix, "restart it");
    }
}

#[test]
fn faults_that_the_control_plane_reports_are_findings_with_their_next_step() {
    let warnings = [
        json!({
            "subject": "store", "text": "83 % of 2 GiB in use: changes are not noticed; raise the quota",
            "severity": "PROBLEM_SEVERITY_WARNING",
        }),
        json!({
            "subject": "gateway acme/tools", "text": "any words (cut off); write it again",
            "severity": "PROBLEM_SEVERITY_ERROR",
        }),
    ];
    let findings = store(true, &warnings);
    assert_eq!(findings[0].severity, FindingSeverity::Warning);
    assert_eq!(findings[0].fix, "raise the quota");
    assert_eq!(findings[1].severity, FindingSeverity::Broken);
    assert_eq!(findings[1].subject, "gateway acme/tools");
    assert_eq!(findings.len(), 2);
    let of_earlier_version = json!({ "subject": "store", "text": "any words; the next step" });
    let findings = store(true, &[of_earlier_version]);
    assert_eq!(findings[0].severity, FindingSeverity::Broken);
}

#[test]
fn a_server_is_fine_only_if_it_answered_a_probe_now() {
    let server = json!({ "spec": { "url": "https://a.example/mcp" } });
    let catalogue = |problem: &str| json!({ "tools": [{}], "era": "MODERN", "problem": problem });
    let severity = |probe| server_finding(&server, "a", &probe, &[]).severity;
    let stored = |catalogue| DoctorProbe::Stored(catalogue, CliError::error("busy"));
    let cases = [
        (DoctorProbe::Probed(catalogue("")), FindingSeverity::Fine),
        (
            DoctorProbe::Probed(catalogue("no connection")),
            FindingSeverity::Broken,
        ),
        (stored(Some(catalogue(""))), FindingSeverity::Warning),
        (
            stored(Some(catalogue("no connection"))),
            FindingSeverity::Broken,
        ),
        (stored(None), FindingSeverity::Warning),
    ];
    for (probe, expected) in cases {
        assert_eq!(severity(probe), expected);
    }
}

#[test]
fn an_endpoint_that_fails_is_a_warning_with_its_url_while_the_others_answer() {
    let server = json!({
        "spec": { "endpoints": [{ "url": "https://a.example/" }, { "url": "https://b.example/" }] },
        "status": { "seen": true, "proxies": [{
            "proxy": "p1", "state": "HEALTH_STATE_AVAILABLE", "failingSinceTime": "1970-01-01T00:01:00Z",
            "endpoints": [{ "url": "https://a.example/", "failure": "upstream_unreachable" }],
        }] },
    });
    let probed = DoctorProbe::Probed(json!({ "tools": [{}], "era": "MODERN" }));
    let finding = server_finding(&server, "git", &probed, &[]);
    assert_eq!(finding.severity, FindingSeverity::Warning);
    for text in ["https://a.example/", "proxy p1", "upstream_unreachable"] {
        assert!(finding.detail.contains(text), "{}", finding.detail);
    }
    assert!(
        finding.fix.contains("`toolgate edit server git`"),
        "{}",
        finding.fix
    );
}

#[test]
fn the_advice_for_a_gateway_names_the_server_that_causes_its_problem() {
    let gateway = |problems: &[(&str, &str)]| {
        let details = problems.iter();
        let details: Vec<_> = details
            .map(|(server, text)| json!({ "server": server, "text": text }))
            .collect();
        json!({
            "metadata": { "name": "organizations/o/gateways/g" },
            "status": { "problemDetails": details },
        })
    };
    let away = (
        "git",
        "spec.bindings[0]: the server has not been probed yet",
    );
    let wrong = (
        "wiki",
        "spec.bindings[1]: server wiki does not offer a tool `git`",
    );
    let failed = ["git".to_owned()];
    let fix = |problems: &[(&str, &str)]| gateway_finding(&gateway(problems), &failed).fix;
    assert!(fix(&[away]).contains("`server git`"));
    assert!(!fix(&[away]).contains("mend"));
    assert!(fix(&[wrong]).contains("mend its bindings"));
    assert!(!fix(&[wrong]).contains("`server git`"));
    let both = fix(&[away, wrong]);
    assert!(
        both.contains("`server git`") && both.contains("mend"),
        "{both}"
    );
}

#[test]
fn lost_gateways_are_reported_of_lasting_tokens_only() {
    let token = |id: &str| {
        json!({
            "metadata": { "name": format!("organizations/default/tokens/{id}") },
            "status": { "problems": ["spec.gateways[0]: gateway tools does not exist any more"] },
        })
    };
    assert!(lost_gateways(&token("ci")).is_some());
    assert!(lost_gateways(&token("cli-0123456789ab")).is_none());
}

#[test]
fn an_identity_provider_without_keys_is_broken_and_one_that_cannot_be_reached_is_pointed_out() {
    let word = |spec: Value, status: Value| {
        let provider = json!({
            "metadata": { "name": "organizations/acme/identityproviders/corp" },
            "spec": spec, "status": status,
        });
        let finding = identity_providers::finding(&provider);
        (finding.word(), finding.detail)
    };
    let (state, _) = word(json!({ "keys": [{}] }), json!({}));
    assert_eq!(state, "ok");
    let (state, _) = word(json!({}), json!({ "keys": [{}] }));
    assert_eq!(state, "ok");
    let (state, told) = word(json!({}), json!({ "keys": [{}], "problem": "503" }));
    assert_eq!(state, "look");
    assert!(told.contains("503") && told.contains("1 key"), "{told}");
    let (state, told) = word(json!({}), json!({ "problem": "503" }));
    assert_eq!(state, "BROKEN");
    assert!(told.contains("503"), "{told}");
}
