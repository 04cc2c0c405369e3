//! Tests of what is told about tokens that are limited to some tools.

use serde_json::{Value, json};

use super::TokenLimit;
use crate::cli::output::error::{CliError, CliErrorKind};

fn record(spec: Value) -> Value {
    json!({ "metadata": { "name": "organizations/default/tokens/ci" }, "spec": spec })
}

fn unknown_tool() -> CliError {
    CliError::new(CliErrorKind::NotFound, "Unknown tool: demo__add")
        .with_note("did you mean `demo__echo`?")
}

#[test]
fn an_unknown_tool_of_a_limited_token_is_blamed_on_the_limit() {
    let limit = TokenLimit::of_records(&[record(json!({ "tools": ["demo__echo"] }))]);
    let told = limit
        .explain(unknown_tool(), "demo", Some("demo__add"))
        .to_string();
    assert!(
        told.contains(
            "the token ci is limited to the tool demo__echo, and demo__add is not among them"
        ),
        "{told}"
    );
    assert!(told.contains("`toolgate edit token ci`"), "{told}");
    assert!(!told.contains("did you mean"), "{told}");
    let listed = limit.explain(unknown_tool(), "demo", Some("demo__echo"));
    assert_eq!(listed, unknown_tool(), "the gateway does not offer it");
    let other = CliError::new(CliErrorKind::CallFailed, "the server failed");
    assert_eq!(limit.explain(other.clone(), "demo", Some("x")), other);
}

#[test]
fn a_missing_prompt_of_a_limited_token_is_blamed_on_the_limit() {
    let absent = || CliError::new(CliErrorKind::NotFound, "Unknown prompt: demo__p");
    for (spec, says) in [
        (
            json!({ "tools": ["a", "b"] }),
            "is limited to the tools a, b: ",
        ),
        (
            json!({ "tools": ["a", "b", "c", "d", "e", "f", "g"] }),
            "is limited to the tools a, b, c, d, e and 2 more: ",
        ),
        (json!({ "noTools": true }), "opens no tool: "),
    ] {
        let limit = TokenLimit::of_records(&[record(spec)]);
        let told = limit.explain(absent(), "demo", None).to_string();
        assert!(told.contains(says), "{told}");
        assert!(
            told.contains("`toolgate token create NAME --gateway demo`"),
            "{told}"
        );
    }
}

#[test]
fn a_token_without_a_limit_is_not_blamed_and_an_unread_one_with_reserve() {
    let unlimited = TokenLimit::of_records(&[record(json!({ "gateways": ["demo"] }))]);
    assert_eq!(unlimited, TokenLimit::Unlimited);
    assert_eq!(
        unlimited.explain(unknown_tool(), "demo", None),
        unknown_tool()
    );
    for records in [Vec::new(), vec![record(json!({})), record(json!({}))]] {
        let unknown = TokenLimit::of_records(&records);
        let told = unknown.explain(unknown_tool(), "demo", None).to_string();
        assert!(
            told.contains("the token may be limited to some tools"),
            "{told}"
        );
    }
}
