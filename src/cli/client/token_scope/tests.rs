//! Tests of the scope and the state of tokens.

use serde_json::{Value, json};

use super::{ends, expiry_cell, gateway_field, is_temporary, lost_gateways, opens, state};

const NOW: u64 = 1_800_000_000_000;

fn deleted(index: usize) -> Value {
    let field = gateway_field(index);
    let text = format!("{field}: gateway tools does not exist any more; delete the token");
    json!({ "field": field, "text": text })
}

#[test]
fn a_token_whose_gateways_are_deleted_has_a_state_of_its_own() {
    let one =
        json!({ "spec": { "gateways": ["tools"] }, "status": { "problemDetails": [deleted(0)] } });
    assert_eq!(lost_gateways(&one), ["tools"]);
    assert_eq!(state(&one, NOW), "gateway deleted");
    assert!(opens(&one).starts_with("nothing: "), "{}", opens(&one));
    let some =
        json!({ "spec": { "gateways": ["a", "b"] }, "status": { "problemDetails": [deleted(1)] } });
    assert_eq!(state(&some, NOW), "valid; deleted: b");
    let fine = json!({ "spec": { "gateways": ["a"] } });
    assert_eq!(state(&fine, NOW), "valid");
    let mut ended = one.clone();
    ended["spec"]["expireTime"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(state(&ended, NOW), "expired");
    ended["status"]["revoked"] = json!(true);
    assert_eq!(state(&ended, NOW), "revoked");
}

#[test]
fn the_scope_of_a_token_is_told_in_words() {
    let all = json!({ "spec": {} });
    assert!(opens(&all).starts_with("every gateway of the organization"));
    assert_eq!(ends(&all), "does not expire");
    assert_eq!(expiry_cell(&all), "never");
    let none = json!({ "spec": { "noGateways": true, "expireTime": "2030-01-01T00:00:00Z" } });
    assert!(opens(&none).starts_with("no gateway"));
    assert_eq!(ends(&none), "expires at 2030-01-01T00:00:00Z");
    let some = json!({ "spec": { "gateways": ["a", "b"], "tools": ["x__y"] } });
    assert_eq!(opens(&some), "gateway a, gateway b; of the tools only x__y");
}

#[test]
fn a_token_of_one_command_is_told_apart_by_its_id() {
    let token =
        |id: &str| json!({ "metadata": { "name": format!("organizations/cli-a/tokens/{id}") } });
    assert!(is_temporary(&token("cli-0123456789ab")));
    assert!(!is_temporary(&token("ci-cli-1")));
}
