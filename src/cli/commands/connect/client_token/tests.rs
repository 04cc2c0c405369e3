//! Tests of the search for the token of an entry.

use serde_json::json;

use super::{super::clients::find, find_token};

#[test]
fn the_token_of_an_entry_is_found_by_hint_and_creator() {
    let token = |id: &str, by: &str, hint: &str, revoked: bool| {
        json!({
            "metadata": { "name": format!("organizations/a/tokens/{id}") },
            "spec": { "description": by },
            "status": { "hint": hint, "revoked": revoked },
        })
    };
    let ours = "Made by `toolgate connect cursor`";
    let tokens = [
        token("by-hand", "mine", "archestra_abcd", false),
        token("cursor-1", ours, "archestra_efgh", false),
        token("cursor-2", ours, "archestra_ijkl", true),
        token("cursor-3", ours, "", false),
    ];
    let cursor = find("cursor").unwrap();
    let holder = |secret: &str| {
        let entry = format!(r#"{{"headers":{{"Authorization":"Bearer {secret}"}}}}"#);
        find_token(&tokens, cursor, &entry)
    };
    assert_eq!(holder("archestra_efghXYZ").as_deref(), Some("cursor-1"));
    assert_eq!(holder("archestra_abcdXYZ"), None, "not made here");
    assert_eq!(holder("archestra_ijklXYZ"), None, "revoked already");
    let twins = [tokens[1].clone(), tokens[1].clone()];
    assert_eq!(find_token(&twins, cursor, "archestra_efghXYZ"), None);
}
