//! Tests of the demo server over its socket, in both eras.

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use toolgate_egress::EgressRequestBody;
use toolgate_runtime::{clock, drain};

use super::start;
use crate::cli::client::dial;

async fn post(url: &str, headers: &[(&str, &str)], body: &Value) -> (StatusCode, String) {
    let mut request = Request::post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(EgressRequestBody::full(body.to_string()))
        .unwrap();
    let answer = dial::http_client(None)
        .unwrap()
        .request(request)
        .await
        .unwrap();
    let status = answer.status();
    let mut text = Vec::new();
    let mut body = answer.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    (status, String::from_utf8(text).unwrap())
}

fn modern(method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

#[tokio::test]
async fn both_eras_list_and_call_the_same_tools() {
    let (drain, _trigger) = drain::new();
    let url = start(clock::system(), &drain).await.unwrap();
    let legacy = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/list" });
    let (status, text) = post(&url, &[("mcp-protocol-version", "2025-11-25")], &legacy).await;
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, page["result"]["tools"].as_array().unwrap().len()),
        (StatusCode::OK, 4)
    );
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "add"),
    ];
    let call = modern(
        "tools/call",
        &json!({ "name": "add", "arguments": { "a": 1, "b": 2 } }),
    );
    let (status, text) = post(&url, &headers, &call).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    assert_eq!(answer["result"]["structuredContent"]["sum"], 3);
    assert_eq!(answer["result"]["resultType"], "complete");
}

#[tokio::test]
async fn the_slow_tool_reports_progress() {
    let (drain, _trigger) = drain::new();
    let url = start(clock::system(), &drain).await.unwrap();
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "slow"),
    ];
    let params = json!({
        "name": "slow", "arguments": { "steps": 3, "delayMs": 1 }, "_meta": { "progressToken": "p" },
    });
    let (_, text) = post(&url, &headers, &modern("tools/call", &params)).await;
    assert_eq!(text.matches("notifications/progress").count(), 3, "{text}");
    assert!(text.contains("3 steps"));
}

#[tokio::test]
async fn a_cancelled_call_ends_without_a_response() {
    let (drain, _trigger) = drain::new();
    let url = start(clock::system(), &drain).await.unwrap();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "slow", "arguments": { "steps": 100, "delayMs": 100 } } });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    let called = post(&url, &[], &call);
    // Also where the call has not begun yet: it is cancelled until it has ended.
    let cancelled = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            let (status, _) = post(&url, &[], &cancel).await;
            assert_eq!(status, StatusCode::ACCEPTED);
        }
    };
    let (_, text) = tokio::select! {
        answer = called => answer,
        never = cancelled => never,
    };
    assert!(!text.contains("steps in about"), "{text}");
}

#[tokio::test]
async fn a_broken_frame_is_rejected_with_the_exact_error() {
    let (drain, _trigger) = drain::new();
    let url = start(clock::system(), &drain).await.unwrap();
    let (status, text) = post(&url, &[], &json!([1])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("-32600"), "{text}");
    let unknown = modern("nonsense", &json!({}));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "nonsense"),
    ];
    let (status, text) = post(&url, &headers, &unknown).await;
    assert_eq!(
        (status, text.contains("-32601")),
        (StatusCode::NOT_FOUND, true)
    );
}
