//! What a call tells.

use super::{from_the_gateway, is_progressive, progress_line, unlisted};
use crate::cli::fault::{Fault, FaultKind};

#[test]
fn progress_is_told_in_a_line() {
    let params = serde_json::json!({ "progress": 2, "total": 5, "message": "step" });
    assert_eq!(progress_line(&params), "progress 2 of 5 step");
}

#[test]
fn a_tool_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let tools = [serde_json::json!({ "name": "demo__echo" })];
    let fault = unlisted(Fault::error("Unknown tool: demo__ech"), &tools, "demo__ech");
    assert_eq!(fault.kind, FaultKind::NotFound);
    let text = fault.to_string();
    assert!(text.contains("did you mean `demo__echo`?") && text.contains("tools list"));
    let other = Fault::error("it failed");
    assert_eq!(unlisted(other.clone(), &tools, "demo__echo"), other);
}

#[test]
fn what_the_gateway_says_of_a_call_is_not_what_the_tool_said() {
    let said = |text: &str| from_the_gateway(&serde_json::json!({ "content": [{ "text": text }] }));
    assert!(said("the server of this tool cannot be reached"));
    assert!(said(
        "the answer of the server of this tool is too large; the call may have taken effect"
    ));
    assert!(!said("the file does not exist"));
}

#[test]
fn a_gateway_that_is_searched_is_known_by_its_list() {
    let listed = |names: &[&str]| {
        let tools: Vec<_> = names
            .iter()
            .map(|name| serde_json::json!({ "name": name }))
            .collect();
        is_progressive(&tools)
    };
    assert!(listed(&["search_tools", "run_tool"]));
    assert!(!listed(&["demo__echo"]) && !listed(&[]));
}
