//! Tests of the admission of callers of identity providers.

use super::*;

#[test]
fn a_provider_is_admitted_once_and_keeps_the_claims_that_it_requires() {
    let other = json!({ "provider": "other" });
    let claims = json!([{ "claim": "hd", "values": ["example.com"] }]);
    let mut admitted = vec![
        other.clone(),
        json!({ "provider": "corp", "groups": ["former"], "claims": claims }),
    ];
    let groups = ["mcp-users".to_owned()];
    for _ in 0..2 {
        admit(&mut admitted, "corp", &groups);
        let corp = json!({ "provider": "corp", "groups": groups, "claims": claims });
        assert_eq!(admitted, [other.clone(), corp]);
    }
    admit(&mut admitted, "new", &[]);
    assert_eq!(admitted[2], json!({ "provider": "new", "groups": [] }));
}

#[test]
fn a_problem_comes_before_keys_that_are_still_in_use() {
    let fetched = |status: Value| outcome(&json!({ "status": status }));
    assert_eq!(fetched(json!({})), None);
    assert_eq!(fetched(json!({ "keys": [] })), None);
    assert_eq!(fetched(json!({ "keys": [{}, {}] })), Some(Ok(2)));
    let failed = json!({ "keys": [{}], "problem": "503" });
    assert_eq!(fetched(failed), Some(Err("503".to_owned())));
}
