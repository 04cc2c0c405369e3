//! Tests of changes to tokens.

use clap::Parser;
use serde_json::{Value, json};

use super::UpdateTokenArgs;
use crate::cli::output::error::CliErrorKind;

#[derive(Parser)]
struct TestCommand {
    #[command(flatten)]
    update: UpdateTokenArgs,
}

#[test]
fn a_token_without_a_role_keeps_a_gateway() {
    let with_role = |role: &str| json!({ "spec": { "adminRole": role } });
    let clients = [json!({ "spec": {} }), with_role("ADMIN_ROLE_UNSPECIFIED")];
    for token in clients {
        let refused = parse(&["--no-gateways"]).check(&token).unwrap_err();
        assert_eq!(refused.kind, CliErrorKind::Usage);
        assert!(refused.message.contains("ci opens"), "{}", refused.message);
        assert!(parse(&["--all-gateways"]).check(&token).is_ok());
    }
    let viewer = with_role("ADMIN_ROLE_VIEWER");
    assert!(parse(&["--no-gateways"]).check(&viewer).is_ok());
}

fn parse(words: &[&str]) -> UpdateTokenArgs {
    let words = ["update", "ci"].iter().chain(words);
    TestCommand::try_parse_from(words).unwrap().update
}

#[test]
fn a_gateway_that_is_added_leaves_the_others() {
    let added = |words: &[&str], spec: Value| {
        let mut token = json!({ "spec": spec });
        parse(words).change(&mut token, None);
        token["spec"].clone()
    };
    let docs = ["--add-gateway", "docs"];
    let both = json!({ "gateways": ["tools", "docs"], "noGateways": false });
    assert_eq!(added(&docs, json!({ "gateways": ["tools"] })), both);
    assert_eq!(added(&docs, both.clone()), both, "it is opened already");
    let first = added(&docs, json!({ "noGateways": true }));
    assert_eq!(first, json!({ "gateways": ["docs"], "noGateways": false }));
    let refused = parse(&docs).check(&json!({ "spec": {} })).unwrap_err();
    assert_eq!(refused.kind, CliErrorKind::Usage);
    assert!(
        refused.message.contains("every gateway"),
        "{}",
        refused.message
    );
    for other in [
        ["--gateway", "x"].as_slice(),
        &["--all-gateways"],
        &["--no-gateways"],
    ] {
        let words = ["update", "ci", "--add-gateway", "docs"]
            .iter()
            .chain(other);
        assert!(TestCommand::try_parse_from(words).is_err(), "{other:?}");
    }
}
