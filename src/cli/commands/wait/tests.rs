//! Tests of conditions.

use serde_json::json;

use super::parse_condition;
use crate::cli::client::kind::{GATEWAY, SERVER};

#[test]
fn conditions_are_met_by_the_state_that_they_name() {
    let fine = json!({ "status": { "seen": true } });
    let failed = json!({ "status": { "seen": true, "problem": "no connection" } });
    let new = json!({});
    for (condition, object, met) in [
        ("ready", Some(&fine), true),
        ("condition=Ready", Some(&failed), false),
        ("ready", Some(&new), false),
        ("ready", None, false),
        ("create", Some(&new), true),
        ("create", None, false),
        ("delete", None, true),
        ("delete", Some(&new), false),
        (
            "jsonpath={.status.problem}=no connection",
            Some(&failed),
            true,
        ),
        (
            "jsonpath={.status.problem}=no connection",
            Some(&fine),
            false,
        ),
    ] {
        let parsed = parse_condition(condition).unwrap();
        assert_eq!(parsed.unmet(&SERVER, object).is_none(), met, "{condition}");
    }
    let gateway = json!({ "status": { "problems": ["server a: no connection"] } });
    let ready = parse_condition("ready").unwrap();
    assert!(
        ready
            .unmet(&GATEWAY, Some(&gateway))
            .unwrap()
            .contains("server a")
    );
    assert!(parse_condition("nonsense").is_err());
}
