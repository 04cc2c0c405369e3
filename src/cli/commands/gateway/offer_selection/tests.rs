//! Tests of the bindings of `--server`, `--tools`, `--prompts` and `--resources`.

use super::*;

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn check(
    servers: &[&str],
    tools: &[&str],
    prompts: Option<&[&str]>,
    resources: Option<&[&str]>,
) -> Option<Value> {
    let (servers, tools) = (owned(servers), owned(tools));
    let (prompts, resources) = (prompts.map(owned), resources.map(owned));
    let choice = OfferSelection::new(&servers, &tools, prompts.as_deref(), resources.as_deref());
    choice.bindings().ok().map(Value::Array)
}

#[test]
fn all_tools_of_all_servers_is_the_default() {
    let expected =
        json!([{ "server": "a", "allTools": true }, { "server": "b", "allTools": true }]);
    assert_eq!(check(&["a", "b"], &["all"], None, None), Some(expected));
}

#[test]
fn selected_tools_must_name_their_server() {
    let chosen = |servers: &[&str], tools: &[&str]| check(servers, tools, None, None);
    let expected = json!([{ "server": "a", "allTools": false, "tools": ["x", "y/z"] }]);
    assert_eq!(chosen(&["a"], &["x", " y/z", ""]), Some(expected));
    let expected = json!([{ "server": "b", "allTools": false, "tools": ["x"] }]);
    assert_eq!(chosen(&["a", "b"], &["b/x"]), Some(expected));
    assert_eq!(chosen(&["a", "b"], &["x"]), None);
}

#[test]
fn prompts_and_resources_are_selected_separately() {
    let said = check(&["a", "b"], &["none"], Some(&["b/ask"]), Some(&["a"]));
    let expected = json!([
        { "server": "a", "allTools": false, "allPrompts": false, "prompts": [], "resources": true },
        { "server": "b", "allTools": false, "allPrompts": false, "prompts": ["ask"], "resources": false },
    ]);
    assert_eq!(said, Some(expected));
    let said = check(&["a"], &["all"], Some(&["none"]), Some(&["none"]));
    let expected =
        json!([{ "server": "a", "allTools": true, "allPrompts": false, "resources": false }]);
    assert_eq!(said, Some(expected));
    assert_eq!(check(&["a"], &["all"], None, Some(&["c"])), None);
}

#[test]
fn a_misspelled_name_is_reported_with_a_suggestion() {
    let catalogue = json!({
        "name": "organizations/d/catalogues/s",
        "tools": [{ "name": "echo" }], "prompts": [{ "name": "ask" }],
    });
    let bound = |list: &str, name: &str| json!([{ "server": "s", list: [name] }]);
    let seen = std::slice::from_ref(&catalogue);
    assert!(unknown_names(SelectableKind::Tool, &bound("tools", "echo"), seen).is_empty());
    assert!(
        unknown_names(SelectableKind::Tool, &bound("tools", "ech"), seen)[0]
            .warning
            .contains("did you mean `echo`?")
    );
    assert!(
        unknown_names(SelectableKind::Tool, &bound("tools", "ech"), &[]).is_empty(),
        "not probed yet"
    );
    let told = unknown_names(SelectableKind::Prompt, &bound("prompts", "aks"), seen);
    assert!(told[0].warning.contains("a prompt `aks`"), "{told:?}");
    assert_eq!((&*told[0].server, &*told[0].name), ("s", "aks"));
}
