//! `--server` and `--tools` become bindings.

use serde_json::json;

use super::{bindings, chosen, slips};

fn check(servers: &[&str], tools: &[&str]) -> Option<serde_json::Value> {
    let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    bindings(&owned(servers), &owned(tools))
        .ok()
        .map(serde_json::Value::Array)
}

#[test]
fn all_tools_of_all_servers_is_the_default() {
    let expected =
        json!([{ "server": "a", "allTools": true }, { "server": "b", "allTools": true }]);
    assert_eq!(check(&["a", "b"], &["all"]), Some(expected));
}

#[test]
fn chosen_tools_belong_to_a_server() {
    let expected = json!([{ "server": "a", "tools": ["x", "y/z"] }]);
    assert_eq!(check(&["a"], &["x", "y/z"]), Some(expected));
    let expected = json!([{ "server": "b", "tools": ["x"] }]);
    assert_eq!(check(&["a", "b"], &["b/x"]), Some(expected));
    assert_eq!(check(&["a", "b"], &["x"]), None);
}

#[test]
fn a_slip_in_a_tool_is_told_with_the_one_that_was_meant() {
    let spaced = ["echo".to_owned(), " add".to_owned(), String::new()];
    assert_eq!(chosen(&spaced), ["echo", "add"]);
    let catalogue =
        json!({ "name": "organizations/d/catalogues/s", "tools": [{ "name": "echo" }] });
    let bound = |tool: &str| json!([{ "server": "s", "tools": [tool] }]);
    let seen = std::slice::from_ref(&catalogue);
    assert!(slips(&bound("echo"), seen).is_empty());
    assert!(slips(&bound("ech"), seen)[0].contains("did you mean `echo`?"));
    assert!(slips(&bound("ech"), &[]).is_empty(), "not probed yet");
}
