//! Heads and bodies that two HTTP parsers delimit differently, with a second request in what only one of them reads as a body.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::rig::{HANG_GUARD, TOKEN, TestRig, eventually};

/// Time without a byte after which a connection is taken for answered.
const QUIET: Duration = Duration::from_millis(500);

/// Fields that a parser may read as a chunked body, and another one not.
const CODINGS: [&str; 26] = [
    "Transfer-Encoding: chunked",
    "transfer-encoding: CHUNKED",
    "Transfer-Encoding:chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: chunked\t",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding\0: chunked",
    "Transfer-Encoding: chunked\0",
];

/// Lengths of a body that a parser may read as zero; `N` is the length of all that follows.
const LENGTHS: [&str; 16] = [
    "Content-Length: 0\r\nContent-Length: N",
    "Content-Length: N\r\nContent-Length: 0",
    "Content-Length: 0, N",
    "Content-Length: N, 0",
    "Content-Length: +N",
    "Content-Length: -N",
    "Content-Length: 0xN",
    "Content-Length: 0 N",
    "Content-Length: N.0",
    "Content-Length: Ne0",
    "Content-Length : N",
    "Content-Length\r\n: N",
    "Content-Length: 0\r\n N",
    "Content-Length: \u{b}N",
    "Content-Length: 99999999999999999999N",
    "Content_Length: N\r\nContent-Length: -0",
];

/// Chunks that a parser may read as the last one, each before a second request.
const CHUNKS: [&str; 12] = [
    "0x0\r\n\r\n",
    "+0\r\n\r\n",
    "-0\r\n\r\n",
    " 0\r\n\r\n",
    "0 \u{b}\r\n\r\n",
    "0\n\n",
    "0\r\r",
    "0;a=\n\r\n",
    "10000000000000000\r\n\r\n",
    "\r\n\r\n",
    "2\r\n{}0\r\n\r\n",
    "0\r\nX: y\n\r\n\n",
];

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
    let (first, second) = (body("first"), whole(rig, "smuggled"));
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let mut all = Vec::new();
    for coding in CODINGS {
        // One parser reads chunks and finds the second request behind them, the other reads all of it as the body.
        let chunked = format!("{}0\r\n\r\n{second}", chunk(&first));
        // And the reverse: the second request is a chunk, and a body of the given length ends before it.
        let hidden = format!("{}0\r\n\r\n", chunk(&second));
        let size = format!("{:x}\r\n", second.len()).len();
        for (length, rest) in [(chunked.len(), &chunked), (size, &hidden)] {
            let length = format!("Content-Length: {length}");
            all.push(request(rig, &format!("{length}\r\n{coding}"), rest));
            all.push(request(rig, &format!("{coding}\r\n{length}"), rest));
        }
    }
    for length in LENGTHS {
        let fields = length.replace('N', &second.len().to_string());
        all.push(request(rig, &fields, &second));
    }
    for last in CHUNKS {
        let rest = format!("{}{last}{second}", chunk(&first));
        all.push(request(rig, "Transfer-Encoding: chunked", &rest));
    }
    all
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
