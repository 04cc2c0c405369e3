//! Tests of the tokens of a gateway.

use serde_json::{Value, json};

use super::{admitted, lost, subject};

#[test]
fn tokens_of_a_deleted_gateway_are_told_apart_from_those_of_the_present_one() {
    let token = |id: &str, problems: Value| {
        json!({
            "metadata": { "name": format!("organizations/default/tokens/{id}") },
            "spec": { "gateways": ["tools"] }, "status": { "problemDetails": problems },
        })
    };
    let text = "spec.gateways[0]: gateway tools was deleted and created again";
    let replaced = json!({ "field": "spec.gateways[0]", "text": text });
    let tokens = [token("new", json!([])), token("old", json!([replaced]))];
    assert_eq!(admitted(&tokens, "tools"), ["new"]);
    assert_eq!(lost(&tokens, "tools"), ["old"]);
    assert_eq!(admitted(&tokens, "others"), Vec::<&str>::new());
}

#[test]
fn a_few_tokens_are_named() {
    assert_eq!(subject(&["a"], "open", "opens"), "1 token (a) opens");
    let many = ["a", "b", "c", "d", "e", "f", "g"];
    let told = subject(&many, "open", "opens");
    assert_eq!(told, "7 tokens (a, b, c, d, e, 2 more) open");
}
