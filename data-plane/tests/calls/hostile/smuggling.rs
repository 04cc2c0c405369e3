//! Request smuggling: requests whose end two HTTP parsers find at different places, with a second request behind it.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::ambiguous_bodies::{AmbiguousBody, ambiguous_bodies};
use crate::rig::{HANG_GUARD, TOKEN, TestRig, eventually};

/// Time without a byte after which a connection is taken for answered.
const QUIET: Duration = Duration::from_millis(500);

fn body(text: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "new__echo", "arguments": {"text": text}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}}}})
    .to_string()
}

/// Call with these fields that delimit its body, and `rest` behind its head.
fn request(rig: &TestRig, fields: &str, rest: &str) -> Vec<u8> {
    format!(
        "POST /v1/mcp/everything HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: new__echo\r\n{fields}\r\n\r\n{rest}",
        rig.address
    )
    .into_bytes()
}

fn whole(rig: &TestRig, text: &str) -> String {
    let body = body(text);
    let length = format!("Content-Length: {}", body.len());
    String::from_utf8(request(rig, &length, &body)).unwrap()
}

/// Writes everything on a connection of its own, and reads until it is closed or quiet.
async fn send(rig: &TestRig, bytes: &[u8]) {
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    // The listener may close the connection before the request is fully read.
    let _closed = stream.write_all(bytes).await;
    let mut answer = [0; 4096];
    while matches!(
        tokio::time::timeout(QUIET, stream.read(&mut answer)).await,
        Ok(Ok(1..))
    ) {}
}

fn executed(rig: &TestRig, text: &str) -> usize {
    let seen = rig.modern.seen.lock().unwrap();
    let is = |message: &serde_json::Value| message["params"]["arguments"]["text"] == text;
    seen.requests.iter().filter(|(_, m)| is(m)).count()
}

fn payloads(rig: &TestRig) -> Vec<Vec<u8>> {
    let all = ambiguous_bodies(|_| (body("first"), whole(rig, "smuggled")));
    let request = |it: &AmbiguousBody| request(rig, &it.fields, &it.rest);
    all.iter().map(request).collect()
}

/// Over a hundred and twenty requests, each with a second one in what one of two parsers reads as its body: the second one is
/// never executed.
#[tokio::test]
async fn ov_06_a_request_hidden_in_the_body_of_another_is_never_executed() {
    let rig = TestRig::start().await;
    let payloads = payloads(&rig);
    assert!(payloads.len() >= 120, "{}", payloads.len());
    let mut failures = Vec::new();
    for some in payloads.chunks(12) {
        futures_util::future::join_all(some.iter().map(|bytes| send(&rig, bytes))).await;
        if executed(&rig, "smuggled") > 0 {
            failures.extend(
                some.iter()
                    .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            );
            break;
        }
    }
    assert!(failures.is_empty(), "one of these: {failures:#?}");
    // Two whole requests on one connection are both executed: a hidden one would have been.
    let pair = [whole(&rig, "first of two"), whole(&rig, "second of two")].concat();
    tokio::time::timeout(HANG_GUARD, send(&rig, pair.as_bytes()))
        .await
        .unwrap();
    eventually("both are executed", || executed(&rig, "second of two") == 1).await;
}
