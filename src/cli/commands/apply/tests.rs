//! Tests of change detection and of dry runs.

use serde_json::json;

use super::{
    AppliedObject, NOT_FULLY_CHECKED,
    diff::{DiffCounts, diff_result, mask_secrets},
    document::is_unchanged,
    refers_to_created, reject_duplicates,
};
use crate::cli::{
    client::{
        kind::{CREDENTIAL, SERVER},
        manifest,
    },
    output::error::{CliError, CliErrorKind},
};

#[test]
fn times_versions_and_status_are_ignored_by_diff() {
    let existing = json!({
        "metadata": { "name": "organizations/a/servers/s", "resourceVersion": "9", "createTime": "2026-01-01T00:00:00Z" },
        "spec": { "url": "https://a.example" },
        "status": { "anything": true },
    });
    let would_be = json!({ "metadata": { "labels": {} }, "spec": { "url": "https://a.example" } });
    assert!(is_unchanged(&SERVER, &existing, &json!({}), &would_be));
    let would_be = json!({ "metadata": {}, "spec": { "url": "https://b.example" } });
    assert!(!is_unchanged(&SERVER, &existing, &json!({}), &would_be));
}

#[test]
fn a_secret_in_a_document_is_always_written() {
    let existing = json!({ "spec": { "staticHeader": { "header": "authorization" } } });
    let document =
        json!({ "spec": { "staticHeader": { "header": "authorization", "value": "Bearer x" } } });
    assert!(!is_unchanged(&CREDENTIAL, &existing, &document, &existing));
}

#[test]
fn each_secret_of_a_document_is_written_and_masked_in_a_diff() {
    let document = json!({ "spec": { "requestFields": {
        "headers": [{ "header": "x-id" }, { "header": "x-key", "value": "s3cret" }],
        "query": [{ "name": "api_key", "value": "s3cret" }],
    } } });
    let returned = json!({ "spec": { "requestFields": {
        "headers": [{ "header": "x-id" }, { "header": "x-key" }],
        "query": [{ "name": "api_key" }],
    } } });
    assert!(!is_unchanged(&CREDENTIAL, &returned, &document, &returned));
    assert!(is_unchanged(&CREDENTIAL, &returned, &returned, &returned));
    for mut desired in [returned, document.clone()] {
        mask_secrets(&mut desired, &document);
        let text = desired.to_string();
        assert_eq!(text.matches("(secret").count(), 2, "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_dry_run_reports_the_limits_of_its_knowledge() {
    let missing = |id: &str| CliError {
        missing: Some(format!("organizations/a/servers/{id}").into()),
        ..CliError::error("spec.bindings[0].server: is refused")
    };
    let applied = |verb| AppliedObject {
        name: "organizations/a/servers/new".to_owned(),
        verb,
        secret: None,
        warnings: Vec::new(),
    };
    assert!(refers_to_created(&missing("new"), &[applied("created")]));
    assert!(
        refers_to_created(&missing("new"), &[applied(NOT_FULLY_CHECKED)]),
        "credential, server, gateway: three in a row"
    );
    assert!(!refers_to_created(&missing("new"), &[applied("unchanged")]));
    assert!(!refers_to_created(
        &missing("new-one"),
        &[applied("created")]
    ));
    for other in [
        CliError::error("spec.prefix: `new` is not one of always, never"),
        CliError::new(CliErrorKind::Unavailable, "no answer about new"),
    ] {
        assert!(!refers_to_created(&other, &[applied("created")]), "{other}");
    }
}

#[test]
fn a_diff_does_not_promise_that_secrets_become_equal() {
    let told = |changed, secrets, stale| {
        let counts = DiffCounts {
            changed,
            secrets,
            stale,
            refused: 0,
        };
        diff_result(counts).map_or_else(|fault| fault.to_string(), |()| String::new())
    };
    assert_eq!(told(0, 0, 0), "");
    let plain = told(1, 0, 0);
    assert!(plain.contains("1 object differs") && plain.contains("equal"));
    let secret = told(2, 1, 0);
    assert!(secret.contains("cannot be compared") && !secret.contains("equal"));
    let stale = told(2, 0, 1);
    assert!(
        stale.contains("resourceVersion") && !stale.contains("same files"),
        "{stale}"
    );
}

#[test]
fn a_diff_does_not_offer_to_apply_what_apply_refuses() {
    let told = |changed, refused| {
        let counts = DiffCounts {
            changed,
            refused,
            ..DiffCounts::default()
        };
        diff_result(counts).unwrap_err().to_string()
    };
    let only = told(0, 1);
    assert!(
        only.starts_with("error: 1 document is refused by apply"),
        "{only}"
    );
    let both = told(3, 2);
    assert!(
        both.starts_with("error: 3 objects differ\n  2 documents are refused"),
        "{both}"
    );
    for told in [only, both] {
        assert!(!told.contains("same files"), "{told}");
        assert!(
            told.contains("next: correct or leave out what is refused"),
            "{told}"
        );
    }
}

#[test]
fn applying_a_gateway_warns_of_problems_and_empty_bindings() {
    let gateway = serde_json::json!({
        "spec": { "bindings": [{ "server": "a", "allTools": true }, { "server": "b" }] },
        "status": { "problems": ["server a has not been probed yet"] },
    });
    let warnings = super::warnings::warnings_of(&gateway);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("not been probed"));
    assert!(warnings[1].contains("spec.bindings[1]") && warnings[1].contains("allTools"));
}

#[test]
fn a_duplicate_object_is_rejected_with_both_positions() {
    let text = |kind: &str, name: &str| {
        format!("apiVersion: toolgate/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n---\n")
    };
    let documents = |text: String| manifest::parse("a.yaml", &text).unwrap();
    let other = text("Gateway", "g") + &text("Server", "g") + &text("Gateway", "h");
    assert_eq!(reject_duplicates(&documents(other)), Ok(()));
    let same = text("Gateway", "g") + &text("Gateway", "g");
    let fault = reject_duplicates(&documents(same)).unwrap_err().to_string();
    assert!(
        fault.contains("a.yaml:5: Gateway g stands in a.yaml:1 already"),
        "{fault}"
    );
}

#[test]
fn only_documents_of_the_same_kind_are_applied_at_the_same_time() {
    let document = |kind: &str, name: &str| {
        format!(
            "apiVersion: toolgate/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{}}\n---\n"
        )
    };
    let text = [
        document("Token", "t"),
        document("Server", "s1"),
        document("Gateway", "g"),
        document("Server", "s2"),
    ];
    let mut documents = manifest::parse("file", &text.concat()).unwrap();
    documents.sort_by_key(|document| document.kind.rank());
    let groups: Vec<Vec<&str>> = super::concurrent::groups(&documents)
        .map(|group| group.iter().map(|it| it.id.as_str()).collect())
        .collect();
    assert_eq!(groups, [vec!["s1", "s2"], vec!["g"], vec!["t"]]);
}
