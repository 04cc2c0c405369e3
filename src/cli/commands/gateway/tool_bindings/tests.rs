//! Tests of changes of bindings.

use serde_json::json;

use super::{add, no_server, remove};

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
        add(&mut bindings, server, tool);
    }
    assert_eq!(bindings[0]["tools"], json!(["search", "blame"]));
    assert_eq!(bindings[1], json!({ "server": "all", "allTools": true }));
    assert_eq!(bindings[2]["tools"], json!(["send"]));
    remove(&mut bindings, "few", "mail", "send").unwrap();
    assert_eq!(bindings.len(), 2, "an empty binding goes too");
    for (server, tool) in [("git", "nothing"), ("none", "x"), ("all", "x")] {
        assert!(
            remove(&mut bindings, "few", server, tool).is_err(),
            "{server}/{tool}"
        );
    }
}

#[test]
fn a_tool_that_is_not_bound_is_refused_with_those_that_are() {
    let mut bindings = vec![json!({ "server": "git", "tools": ["search", "blame"] })];
    let fault = remove(&mut bindings, "few", "git", "serch").unwrap_err();
    let told = fault.to_string();
    for words in [
        "did you mean `git/search`?",
        "bound by name: git/search, git/blame",
        "`toolgate describe gateway few`",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let gateway = json!({ "status": { "tools": [
        { "name": "git__search", "server": "git", "originalName": "search" },
    ] } });
    let told = no_server(&gateway, "git__search").to_string();
    assert!(told.contains("did you mean `git/search`?"), "{told}");
}
