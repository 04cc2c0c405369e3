//! Tests of changes to tokens.

use clap::Parser;
use serde_json::json;

use super::UpdateTokenArgs;
use crate::cli::output::error::CliErrorKind;

#[derive(Parser)]
struct TestCommand {
    #[command(flatten)]
    update: UpdateTokenArgs,
}

#[test]
fn a_token_without_a_role_keeps_a_gateway() {
    let parse = |words: &[&str]| {
        let words = ["update", "ci"].iter().chain(words);
        TestCommand::try_parse_from(words).unwrap().update
    };
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
