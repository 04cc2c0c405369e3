//! Tests of the messages of calls.

use super::{explain_unlisted_tool, is_progressive, progress_line, tool_error};
use crate::cli::output::error::{CliError, CliErrorKind};

#[test]
fn progress_is_printed_in_one_line() {
    let params = serde_json::json!({ "progress": 2, "total": 5, "message": "step" });
    assert_eq!(progress_line(&params), "progress 2 of 5 step");
}

#[test]
fn an_unknown_tool_is_reported_with_a_suggestion() {
    let tools = [serde_json::json!({ "name": "demo__echo" })];
    let fault = explain_unlisted_tool(
        CliError::new(CliErrorKind::CallFailed, "Unknown tool: demo__ech"),
        &tools,
        "demo__ech",
    );
    assert_eq!(fault.kind, CliErrorKind::NotFound);
    let text = fault.to_string();
    assert!(text.contains("did you mean `demo__echo`?") && text.contains("tools list"));
    let other = CliError::error("it failed");
    assert_eq!(
        explain_unlisted_tool(other.clone(), &tools, "demo__echo"),
        other
    );
}

#[test]
fn gateway_failures_are_distinguished_from_tool_failures() {
    let result = |meta: serde_json::Value| {
        let text = "the server of this tool cannot be reached";
        serde_json::json!({ "content": [{ "text": text }], "isError": true, "_meta": meta })
    };
    let ours = result(serde_json::json!({ "toolgate/failure": "upstream_unreachable" }));
    let ours = tool_error("t", &ours);
    assert_eq!(ours.kind, CliErrorKind::CallFailed);
    assert!(ours.to_string().contains("upstream_unreachable"), "{ours}");
    // A tool may return the same words as the gateway.
    let theirs = tool_error("t", &result(serde_json::json!({})));
    assert_eq!(theirs.kind, CliErrorKind::Error);
    assert!(theirs.to_string().contains("the tool t says"), "{theirs}");
}

#[test]
fn a_progressive_gateway_is_recognised_by_its_tool_list() {
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
