//! Tests of the messages of calls.

use super::{failed, is_progressive, progress_line, unlisted};
use crate::cli::fault::{Fault, FaultKind};

#[test]
fn progress_is_told_in_a_line() {
    let params = serde_json::json!({ "progress": 2, "total": 5, "message": "step" });
    assert_eq!(progress_line(&params), "progress 2 of 5 step");
}

#[test]
fn a_tool_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let tools = [serde_json::json!({ "name": "demo__echo" })];
    let fault = unlisted(
        Fault::new(FaultKind::Failed, "Unknown tool: demo__ech"),
        &tools,
        "demo__ech",
    );
    assert_eq!(fault.kind, FaultKind::NotFound);
    let text = fault.to_string();
    assert!(text.contains("did you mean `demo__echo`?") && text.contains("tools list"));
    let other = Fault::error("it failed");
    assert_eq!(unlisted(other.clone(), &tools, "demo__echo"), other);
}

#[test]
fn what_the_gateway_says_of_a_call_is_not_what_the_tool_said() {
    let result = |meta: serde_json::Value| {
        let text = "the server of this tool cannot be reached";
        serde_json::json!({ "content": [{ "text": text }], "isError": true, "_meta": meta })
    };
    let ours = result(serde_json::json!({ "toolgate/failure": "upstream_unreachable" }));
    let ours = failed("t", &ours);
    assert_eq!(ours.kind, FaultKind::Failed);
    assert!(ours.to_string().contains("upstream_unreachable"), "{ours}");
    // A tool may return the same words as the gateway.
    let theirs = failed("t", &result(serde_json::json!({})));
    assert_eq!(theirs.kind, FaultKind::Error);
    assert!(theirs.to_string().contains("the tool t says"), "{theirs}");
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
