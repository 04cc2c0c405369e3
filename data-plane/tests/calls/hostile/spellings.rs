//! Other spellings of the path of a gateway and of the name of its listener.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use toolgate_model::AllowList;

use crate::rig::{HANG_GUARD, TOKEN, TestRig, name};

/// Token that is valid at the gateway `other` only.
const LIMITED_TOKEN: &str = "archestra_for-the-gateway-other";

/// Time without a byte after which a connection is taken for answered.
const QUIET: Duration = Duration::from_secs(5);

/// Targets that a lenient parser or balancer takes for the gateway `everything`, or for `other` in front of it.
const TARGETS: [&str; 58] = [
    "/v1/mcp/everything",
    "/v1/mcp/everything/",
    "/v1/mcp/everything//",
    "/v1/mcp/everything/.",
    "/v1/mcp/everything/..",
    "/v1/mcp/everything/other",
    "/v1/mcp/everything?gateway=other",
    "/v1/mcp/everything?/v1/mcp/other",
    "/v1/mcp/everything#/v1/mcp/other",
    "/v1/mcp/everything;other",
    "/v1/mcp/everything;gateway=other",
    "/v1/mcp/everything,other",
    "/v1/mcp/everything&other",
    "/v1/mcp/everything.",
    "/v1/mcp/everything.json",
    "/v1/mcp/everything%00",
    "/v1/mcp/everything%00other",
    "/v1/mcp/everything%20",
    "/v1/mcp/everything%2f",
    "/v1/mcp/everything%2F..%2Fother",
    "/v1/mcp/everything%252f",
    "/v1/mcp/everything%3f",
    "/v1/mcp/everything%23",
    "/v1/mcp/everything%0d%0a",
    "/v1/mcp/everything\\",
    "/v1/mcp/everything\\..\\other",
    "/v1/mcp/EVERYTHING",
    "/v1/mcp/Everything",
    "/v1/mcp/%65verything",
    "/v1/mcp/%2565verything",
    "/v1/mcp/%u0065verything",
    "/v1/mcp/%c1%a5verything",
    "/v1/mcp/%ef%bd%85verything",
    "/v1/mcp/ever%79thing",
    "/v1/mcp/other/../everything",
    "/v1/mcp/other/..;/everything",
    "/v1/mcp/other/%2e%2e/everything",
    "/v1/mcp/other/.%2e/everything",
    "/v1/mcp/other/%252e%252e/everything",
    "/v1/mcp/other/..%2feverything",
    "/v1/mcp/other/..%5ceverything",
    "/v1/mcp/other/..\\everything",
    "/v1/mcp/other/./everything",
    "/v1/mcp/other//everything",
    "/v1/mcp/other;/../everything",
    "/v1/mcp/other%2f..%2feverything",
    "/v1/mcp/other/everything",
    "/v1/mcp/other%3b/everything",
    "/v1/mcp/./everything",
    "/v1/mcp//everything",
    "/v1//mcp/everything",
    "//v1/mcp/everything",
    "/v1/./mcp/everything",
    "/v1/x/../mcp/everything",
    "/v1%2fmcp%2feverything",
    "/V1/MCP/everything",
    "/mcp/everything",
    "v1/mcp/everything",
];

/// Hosts that are not names of the listener, `P` being its port, though a resolver or a lenient parser takes them for one.
const HOSTS: [&str; 27] = [
    "evil.example",
    "evil.example:P",
    "localhost.",
    "localhost.:P",
    "localhost..",
    ".localhost",
    "localhost.evil.example",
    "evil.example@127.0.0.1:P",
    "127.0.0.1@evil.example",
    "127.0.0.1:P@evil.example",
    "127.0.0.1:P:P",
    "127.0.0.1:P/",
    "127.0.0.1:P#x",
    "127.0.0.1:P?x",
    "127.0.0.1, evil.example",
    "127.0.0.1.",
    "127.0.0.1%00",
    "127.1",
    "127.0.0.01",
    "2130706433",
    "0x7f000001",
    "0.0.0.0:P",
    "[::ffff:127.0.0.1]:P",
    "[::1%25lo]:P",
    "\u{ff4c}ocalhost",
    "xn--localhost-7za",
    "http://127.0.0.1:P",
];

/// Fields that name a host or a path beside a foreign host.
const OVERRIDES: [&str; 6] = [
    "X-Forwarded-Host: 127.0.0.1",
    "Forwarded: host=127.0.0.1",
    "X-Host: 127.0.0.1",
    "X-Original-Host: 127.0.0.1",
    "Host: 127.0.0.1",
    "X-Original-URL: /v1/mcp/everything\r\nX-Rewrite-URL: /v1/mcp/everything",
];

fn request(target: &str, host: &str, token: &str, more: &str) -> String {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "new__echo", "arguments": {"text": "x"}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}}}})
    .to_string();
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: new__echo\r\n{more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request on a connection of its own. Returns its status; 0 if the connection is closed without one.
async fn status(rig: &TestRig, request: &str) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    // The listener may close the connection before the request is fully read.
    let _closed = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(QUIET, stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    assert!(read.is_ok() || status.is_some(), "no answer: {request}");
    status.unwrap_or(0)
}

fn calls(rig: &TestRig) -> usize {
    rig.modern.calls("echo") + rig.legacy.calls("echo")
}

/// Over ninety spellings of a path and of a host, with a token of another gateway or with a valid one: none is served.
#[tokio::test]
async fn ti_10_no_other_spelling_of_a_path_or_host_gives_access() {
    let rig = TestRig::start().await;
    rig.add_token(name("limited"), LIMITED_TOKEN, |token| {
        token.gateways = AllowList::of(vec![name("other").id]);
    });
    let (own, port) = (rig.address.to_string(), rig.address.port().to_string());
    let mut cases = Vec::new();
    for target in TARGETS {
        cases.push(request(target, &own, LIMITED_TOKEN, ""));
        cases.push(request(
            &format!("http://{own}{target}"),
            &own,
            LIMITED_TOKEN,
            "",
        ));
    }
    for host in HOSTS {
        let host = host.replace('P', &port);
        cases.push(request("/v1/mcp/everything", &host, TOKEN, ""));
        // The target in absolute form names the listener, or the other host.
        for (target, beside) in [(&own, &host), (&host, &own)] {
            let target = format!("http://{target}/v1/mcp/everything");
            cases.push(request(&target, beside, TOKEN, ""));
        }
    }
    for more in OVERRIDES {
        let more = format!("{more}\r\n");
        let target = "/v1/mcp/other/../everything";
        cases.push(request(target, "evil.example", TOKEN, &more));
        cases.push(request("/", &own, TOKEN, &more));
        cases.push(request("/v1/mcp/everything", "evil.example", TOKEN, &more));
    }
    let mut served = Vec::new();
    for some in cases.chunks(16) {
        let statuses = some.iter().map(|case| status(&rig, case));
        let statuses = futures_util::future::join_all(statuses).await;
        let answered = some.iter().zip(statuses);
        served.extend(answered.filter(|(_, status)| (200..400).contains(status)));
    }
    assert!(served.is_empty(), "{served:#?}");
    assert_eq!(calls(&rig), 0);
    // Both tokens are served at the canonical spelling of their gateways.
    for (gateway, token) in [("other", LIMITED_TOKEN), ("everything", TOKEN)] {
        let asked = request(&format!("/v1/mcp/{gateway}"), &own, token, "");
        let answered = tokio::time::timeout(HANG_GUARD, status(&rig, &asked)).await;
        assert_eq!(answered.unwrap(), 200, "{gateway}");
    }
    assert_eq!(calls(&rig), 2);
}
