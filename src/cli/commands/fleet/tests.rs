//! Tests of the filter for versions made by users.

use super::*;

#[test]
fn versions_made_by_probes_and_temporary_tokens_are_hidden() {
    let entry = |author: &str, changes: &[&str]| json!({ "author": author, "changes": changes });
    let made = [
        entry("organizations/a/tokens/t", &["create token a/ci"]),
        entry("organizations/a/tokens/t", &["delete server a/cli-tools"]),
        entry("system", &["start epoch 2"]),
        entry(
            "organizations/a/tokens/t",
            &["create token a/cli-1f", "create gateway a/g"],
        ),
    ];
    let noise = [
        entry("organizations/a/tokens/t", &["create token a/cli-1f"]),
        entry("organizations/a/tokens/t", &["delete token a/cli-1f"]),
        entry(
            PROBER_AUTHOR,
            &["probe of server a/s: 3 tools, 1 new or changed"],
        ),
    ];
    assert!(made.iter().all(is_user_change));
    assert!(!noise.iter().any(is_user_change));
}
