//! What a call tells.

use super::{progress_line, unlisted};
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
