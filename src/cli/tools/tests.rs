//! Addresses and arguments.

use super::{arguments, endpoint_url, progress_line, reachable, unlisted, without_bulk};
use crate::cli::fault::{Fault, FaultKind};

#[test]
fn an_endpoint_is_made_of_what_a_proxy_tells() {
    assert_eq!(
        endpoint_url(&reachable("0.0.0.0:7300"), "demo"),
        "http://127.0.0.1:7300/v1/mcp/demo"
    );
    assert_eq!(
        endpoint_url("https://gw.example/", "a"),
        "https://gw.example/v1/mcp/a"
    );
    assert_eq!(endpoint_url("gw:80", "a"), "http://gw:80/v1/mcp/a");
}

#[test]
fn arguments_are_an_object_or_a_usage_error() {
    assert!(arguments("{\"a\":1}").is_ok());
    for wrong in ["[1]", "{", "@/does/not/exist"] {
        assert_eq!(arguments(wrong).unwrap_err().kind as u8, 2, "{wrong}");
    }
}

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
fn an_image_is_named_and_not_dumped_on_a_terminal() {
    let image =
        serde_json::json!({ "type": "image", "mimeType": "image/png", "data": "A".repeat(4000) });
    let shown = without_bulk(&image);
    assert_eq!(shown["mimeType"], "image/png");
    assert_eq!(shown["data"], "(3000 bytes, shown with -o json)");
}
