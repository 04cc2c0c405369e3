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

#[test]
fn a_region_follows_the_rules_of_the_control_plane() {
    for region in ["", "eu-west", "EU_1.a"] {
        assert_eq!(parse_region(region).as_deref(), Ok(region));
    }
    for region in ["eu\u{7}", "eu west", "\u{202e}eu", &"x".repeat(REGION + 1)] {
        assert!(parse_region(region).is_err(), "{region:?}");
    }
}

#[test]
fn proxies_that_are_ahead_of_the_store_are_named_with_the_reason() {
    let proxy = |id: &str, acked: &str| {
        let version = |revision: &str| json!({ "epoch": "1", "revision": revision });
        json!({
            "name": format!("proxies/{id}"), "connected": true, "wanted": version("9"), "acked": version(acked),
        })
    };
    let told = describe_ahead(&[proxy("a", "9"), proxy("b", "10"), proxy("c", "8")]).unwrap();
    assert!(told.starts_with("ahead: b: "), "{told}");
    assert_eq!(describe_ahead(&[proxy("a", "9"), proxy("c", "8")]), None);
}
