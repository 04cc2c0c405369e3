//! Tests of changes of bindings.

use serde_json::json;

use super::{add, remove};

#[test]
fn a_tool_is_added_to_the_binding_of_its_server_and_removed_from_it() {
    let mut bindings = vec![
        json!({ "server": "git", "tools": ["search"] }),
        json!({ "server": "all", "allTools": true }),
    ];
    for (server, tool) in [
        ("git", "blame"),
        ("git", "blame"),
        ("mail", "send"),
        ("all", "x"),
    ] {
        add(&mut bindings, server, tool).unwrap();
    }
    assert_eq!(bindings[0]["tools"], json!(["search", "blame"]));
    assert_eq!(bindings[1], json!({ "server": "all", "allTools": true }));
    assert_eq!(bindings[2]["tools"], json!(["send"]));
    remove(&mut bindings, "mail", "send").unwrap();
    assert_eq!(bindings.len(), 2, "an empty binding goes too");
    for (server, tool) in [("git", "nothing"), ("none", "x"), ("all", "x")] {
        assert!(
            remove(&mut bindings, server, tool).is_err(),
            "{server}/{tool}"
        );
    }
}
