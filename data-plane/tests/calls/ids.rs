//! Ids and names of clients: numbers and strings stay distinct, numbers are exact, and no character is lost.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use toolgate_mcp::headers;
use toolgate_model::Era;

use crate::{
    client::{TestClient, TestResponse},
    rig::{TestRig, exposed},
};

#[tokio::test]
async fn numeric_and_string_ids_are_distinct_and_large_numbers_stay_exact() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let large = 1_u64 << 53;
    let ids = [
        json!(1),
        json!("1"),
        json!(large),
        json!(large + 1),
        json!(large.to_string()),
        json!(-1),
    ];
    for era in [Era::Legacy, Era::Modern] {
        let tool = exposed(era, "slow");
        let mut streams = Vec::new();
        for id in &ids {
            let mut stream = client.call(Era::Legacy, id.clone(), &tool, "x").await;
            let first = stream.message().await.unwrap();
            assert_eq!(first["method"], "notifications/progress", "{id}: {first}");
            streams.push(stream);
        }
        let taken = client.call(Era::Legacy, json!("1"), &tool, "x").await;
        let taken = taken.whole().await;
        assert_eq!((taken.code(), &taken.json()["id"]), (-32600, &json!("1")));
        for at in [1, 2] {
            let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": {"requestId": ids[at]}});
            let accepted = client.legacy(cancel).await.whole().await;
            assert_eq!(accepted.status, 202);
            assert_eq!(streams[at].message().await, None, "{}", ids[at]);
        }
        for at in [0, 3, 4, 5] {
            let more = streams[at].message();
            let more = tokio::time::timeout(Duration::from_millis(100), more).await;
            assert!(more.is_err(), "{} goes on", ids[at]);
        }
        drop(streams);
        for id in ids.iter().filter(|id| !is_cancelled(id)) {
            let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": {"requestId": id}});
            client.legacy(cancel).await.whole().await;
        }
    }
}

/// Returns `true` if the id belongs to a call that is cancelled first.
fn is_cancelled(id: &Value) -> bool {
    *id == json!("1") || *id == json!(1_u64 << 53)
}

/// Sends a modern request whose name is also in a header.
async fn request_by_name(
    client: &TestClient,
    method: &str,
    member: &str,
    name: &str,
    header: &str,
) -> TestResponse {
    let prefix = "io.modelcontextprotocol";
    let meta = json!({format!("{prefix}/protocolVersion"): "2026-07-28",
        format!("{prefix}/clientCapabilities"): {}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method,
        "params": {member: name, "_meta": meta}});
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
        ("mcp-name", header),
    ];
    let text = message.to_string();
    let sent = client.raw(Method::POST, &headers, &text).await;
    sent.whole().await
}

#[tokio::test]
async fn non_ascii_names_are_encoded_on_both_sides() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let (own, ours) = ("test://grüße-\u{1f980}", "new+test://grüße-\u{1f980}");
    let encoded = headers::encode(ours);
    assert!(encoded.starts_with("=?base64?"), "{encoded}");
    let read = request_by_name(&client, "resources/read", "uri", ours, &encoded).await;
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(read.json()["result"]["contents"][0]["uri"], ours);
    let (seen, message) = rig.modern.last("resources/read").unwrap();
    assert_eq!(seen["mcp-name"], headers::encode(own).as_ref());
    assert_eq!(message["params"]["uri"], own);
    for wrong in [&headers::encode("new+test://grusse"), "=?base64?!?=", own] {
        let refused = request_by_name(&client, "resources/read", "uri", ours, wrong).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, -32020));
    }
    // No tool has this name.
    let tool = "new__grüße";
    let refused =
        request_by_name(&client, "tools/call", "name", tool, &headers::encode(tool)).await;
    assert_eq!(refused.code(), -32602);
    assert!(rig.modern.last("tools/call").is_none());
}
