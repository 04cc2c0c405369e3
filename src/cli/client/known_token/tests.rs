//! Tests of the reasons for which a token is refused.

use serde_json::json;

use super::refusal;

#[test]
fn the_record_of_a_token_tells_why_a_gateway_refuses_it() {
    let token = |spec, status| {
        json!({
            "metadata": { "name": "organizations/default/tokens/ci" }, "spec": spec, "status": status,
        })
    };
    let now = 1_800_000_000_000;
    let reason = |spec, status| refusal(&token(spec, status), "tools", now).unwrap_or_default();
    assert_eq!(
        reason(json!({ "expireTime": "2020-01-01T00:00:00Z" }), json!({})),
        "the token ci expired at 2020-01-01T00:00:00Z"
    );
    assert!(reason(json!({}), json!({ "revoked": true })).contains("revoked"));
    assert_eq!(
        reason(json!({ "gateways": ["other"] }), json!({})),
        "the token ci is for other, not for tools"
    );
    assert!(reason(json!({ "noGateways": true }), json!({})).contains("admin API"));
    assert_eq!(reason(json!({ "gateways": ["tools"] }), json!({})), "");
    assert_eq!(reason(json!({}), json!({})), "");
    let problem = json!({
        "field": "spec.gateways[0]",
        "text": "spec.gateways[0]: gateway tools was deleted and created again",
    });
    let problems = json!({ "problemDetails": [problem] });
    assert_eq!(
        reason(json!({ "gateways": ["tools", "other"] }), problems.clone()),
        "the token ci is refused: gateway tools was deleted and created again"
    );
    assert_eq!(
        reason(json!({ "gateways": ["other", "tools"] }), problems),
        ""
    );
}
