//! Tests of the advice for credentials without a value.

use serde_json::json;

use super::set_command;

#[test]
fn the_command_for_a_missing_value_makes_the_credential_of_the_document() {
    let one = json!({ "spec": {
        "hosts": ["https://a.example", "https://*.b.example"], "staticHeader": { "header": "authorization" },
    } });
    assert_eq!(
        set_command("git", None, &one),
        "toolgate credential set git --header authorization --host https://a.example --host 'https://*.b.example'"
    );
    let several = json!({ "spec": { "requestFields": {
        "headers": [{ "header": "x-id" }], "query": [{ "name": "api_key" }],
    } } });
    assert_eq!(
        set_command("crm", Some("acme"), &several),
        "toolgate credential set crm --header x-id --query api_key -O acme"
    );
}
