//! Request properties outside of the body: headers, hosts, origins and versions.

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    client::{TestClient, TestResponse},
    rig::{NARROW_TOKEN, TOKEN, TestRig},
};

const MODERN: &str = "2026-07-28";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

fn call(name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "h", "method": "tools/call", "params": {
        "name": name, "arguments": {"text": "x"}, "_meta": {VERSION: MODERN, CAPABILITIES: {}}}})
}

async fn post(client: &TestClient, headers: &[(&str, &str)], body: &Value) -> TestResponse {
    let mut all = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    all.extend(headers.iter().filter(|(_, value)| *value != "-"));
    let stream = client.raw(Method::POST, &all, &body.to_string()).await;
    stream.whole().await
}

fn executed(rig: &TestRig) -> usize {
    [&rig.legacy, &rig.modern]
        .map(|server| server.calls("echo") + server.calls("slow"))
        .iter()
        .sum()
}

/// Version, method and name headers of a call of `new__echo`; `-` omits the header.
const MISMATCHED_HEADERS: [[&str; 3]; 38] = [
    ["2025-11-25", "tools/call", "new__echo"],
    ["2025-06-18", "tools/call", "new__echo"],
    ["2024-11-05", "tools/call", "new__echo"],
    ["2026-07-29", "tools/call", "new__echo"],
    ["2026-07-28, 2025-11-25", "tools/call", "new__echo"],
    ["draft", "tools/call", "new__echo"],
    ["", "tools/call", "new__echo"],
    ["-", "tools/call", "new__echo"],
    [MODERN, "tools/list", "new__echo"],
    [MODERN, "prompts/get", "new__echo"],
    [MODERN, "TOOLS/CALL", "new__echo"],
    [MODERN, "tools/call/", "new__echo"],
    [MODERN, "tools/call, tools/list", "new__echo"],
    [MODERN, "tools", "new__echo"],
    [MODERN, "notifications/cancelled", "new__echo"],
    [MODERN, "", "new__echo"],
    [MODERN, "-", "new__echo"],
    [MODERN, "tools/call", "old__echo"],
    [MODERN, "tools/call", "new__slow"],
    [MODERN, "tools/call", "NEW__ECHO"],
    [MODERN, "tools/call", "new__ech"],
    [MODERN, "tools/call", "new__echoo"],
    [MODERN, "tools/call", "new__echo, new__slow"],
    [MODERN, "tools/call", "new__echo;q=1"],
    [MODERN, "tools/call", "\"new__echo\""],
    [MODERN, "tools/call", "new%5F%5Fecho"],
    [MODERN, "tools/call", "new__\\u0065cho"],
    [MODERN, "tools/call", "echo"],
    [MODERN, "tools/call", ""],
    [MODERN, "tools/call", "-"],
    [MODERN, "tools/call", "=?base64?b2xkX19lY2hv?="],
    [MODERN, "tools/call", "=?base64?!!!!?="],
    [MODERN, "tools/call", "=?base64?bmV3X19lY2hv"],
    [MODERN, "tools/call", "=?BASE64?bmV3X19lY2hv?="],
    [MODERN, "tools/call", "=?utf-8?B?bmV3X19lY2hv?="],
    [MODERN, "tools/call", "=?base64??="],
    [MODERN, "tools/call", "=?base64?bmV3X19lY2hv?= x"],
    [MODERN, "tools/call", "bmV3X19lY2hv"],
];

/// Forty-five combinations of headers that contradict the body: none is executed, and stray `Mcp-*` headers of legacy
/// clients have no effect.
#[tokio::test]
async fn ov_07_headers_that_contradict_the_body_are_never_executed() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let body = call("new__echo");
    let mut cases: Vec<(Vec<(&str, &str)>, Value)> = Vec::new();
    let names = ["mcp-protocol-version", "mcp-method", "mcp-name"];
    for values in &MISMATCHED_HEADERS {
        let headers = names.into_iter().zip(values.iter().copied()).collect();
        cases.push((headers, body.clone()));
    }
    let right: Vec<_> = names
        .into_iter()
        .zip([MODERN, "tools/call", "new__echo"])
        .collect();
    for twice in &right {
        let mut headers = right.clone();
        headers.push(*twice);
        cases.push((headers, body.clone()));
    }
    // The reverse: the headers name a permitted call and the body another one.
    for other in ["new__slow", "old__echo", "gone__echo"] {
        cases.push((right.clone(), call(other)));
    }
    let mut listing = body.clone();
    listing["method"] = json!("tools/list");
    cases.push((right.clone(), listing));
    assert!(cases.len() >= 40);
    for (headers, body) in &cases {
        let answer = post(&client, headers, body).await;
        let code = answer.code();
        assert_eq!(answer.status, 400, "{headers:?}: {answer:?}");
        assert!(code == -32020 || code == -32022, "{headers:?}: {code}");
    }
    assert_eq!(executed(&rig), 0);
    let answer = post(&client, &right, &body).await;
    assert_eq!((answer.status.as_u16(), executed(&rig)), (200, 1));

    let mut old = rig.client();
    old.initialize().await;
    let session = old.session.clone().unwrap();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "old__echo", "arguments": {"text": "x"}}});
    let stray = [
        ("mcp-session-id", &*session),
        ("mcp-method", "tools/list"),
        ("mcp-name", "new__slow"),
    ];
    let answer = post(&old, &stray, &message).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "x");
    assert_eq!((rig.legacy.calls("echo"), rig.modern.calls("slow")), (1, 0));
}

/// Sends exactly these header lines and returns the response head.
async fn response_head(rig: &TestRig, lines: &[String]) -> String {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list",
        "params": {"_meta": {VERSION: MODERN, CAPABILITIES: {}}}})
    .to_string();
    let mut text = String::from("POST /v1/mcp/everything HTTP/1.1\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str(&format!(
        "Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMcp-Protocol-Version: {MODERN}\r\n\
         Mcp-Method: tools/list\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // The listener may close the connection before the request is fully read.
    let _closed = stream.read_to_end(&mut all).await;
    let all = String::from_utf8_lossy(&all).into_owned();
    all.split("\r\n\r\n").next().unwrap().to_ascii_lowercase()
}

fn is_host_rejection(head: &str) -> bool {
    // Requests that are not valid HTTP get 400.
    let status = head.starts_with("http/1.1 403") || head.starts_with("http/1.1 400");
    status && !head.contains("access-control-allow")
}

/// Thirty-four hosts and origins against the default configuration of the listener.
#[tokio::test]
async fn ov_15_foreign_hosts_and_origins_are_rejected_by_default() {
    let rig = TestRig::start().await;
    let own = format!("Host: {}", rig.address);
    let port = rig.address.port();
    let mut cases: Vec<Vec<String>> = vec![
        vec![],
        vec![own.clone(), own.clone()],
        vec![own.clone(), "Host: evil.example".to_owned()],
        vec!["Host: evil.example".to_owned(), own.clone()],
    ];
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        &format!("localhost.evil.example:{port}"),
        &format!("127.0.0.1.evil.example:{port}"),
        &format!("evil.example@127.0.0.1:{port}"),
        "0.0.0.0",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost, evil.example",
        "localhost/evil",
        "",
    ] {
        cases.push(vec![format!("Host: {host}")]);
    }
    for origin in [
        "null",
        "https://evil.example",
        &format!("http://evil.example:{port}"),
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "http://evil.example#localhost",
        "http://localhost/",
        "file://",
        "file://localhost",
        "chrome-extension://localhost",
        "HTTP://EVIL.EXAMPLE",
        "localhost",
        "http://localhost, https://evil.example",
        "*",
        "",
    ] {
        cases.push(vec![own.clone(), format!("Origin: {origin}")]);
    }
    let mine = format!("Origin: http://{}", rig.address);
    cases.push(vec![own.clone(), mine.clone(), mine.clone()]);
    let other = "Origin: https://evil.example".to_owned();
    cases.push(vec![own.clone(), mine.clone(), other]);
    assert!(cases.len() >= 30);
    let mut failures = Vec::new();
    for case in cases {
        let head = response_head(&rig, &case).await;
        if !is_host_rejection(&head) {
            failures.push(format!("{case:?}: {head}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    for fine in [vec![own.clone()], vec![own, mine]] {
        let head = response_head(&rig, &fine).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(!head.contains("access-control-allow-origin: *"), "{head}");
    }
}

/// Expected status and error code of a `tools/list` request according to the table of the specification.
fn expected_by_table(header: &str, body: &str, session: &str) -> (u16, Option<i64>) {
    let legacy = ["2025-11-25", "2025-06-18", "2025-03-26"];
    let session_decides = match session {
        "-" => (400, None),
        "mine" => (200, None),
        _ => (404, None),
    };
    match (header, body) {
        (MODERN, MODERN) => (200, None),
        // If the header or the body is modern, both must be.
        (MODERN, "-") => (400, Some(-32602)),
        (MODERN, _) | (_, MODERN) => (400, Some(-32020)),
        (_, body) if body != "-" => {
            let sessions = session != "-" || legacy.contains(&header);
            if !(sessions && legacy.contains(&body)) {
                return (400, Some(-32022));
            }
            let spoken = header == "-" || legacy.contains(&header);
            if spoken { session_decides } else { (400, None) }
        }
        (header, _) if header == "-" || legacy.contains(&header) => session_decides,
        _ => (400, None),
    }
}

/// The era is decided once by header × `_meta` × session: 105 combinations.
#[tokio::test]
async fn mc_08_the_era_follows_the_decision_table_and_modern_requests_ignore_sessions() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let mine = client.session.clone().unwrap();
    let mut cells = 0;
    let mut failures = Vec::new();
    for header in [
        "-",
        MODERN,
        "2025-11-25",
        "2025-06-18",
        "2025-03-26",
        "2024-10-07",
        "2999-01-01",
    ] {
        for body in ["-", MODERN, "2025-11-25", "2024-10-07", "2999-01-01"] {
            for session in ["-", "mine", "made-up"] {
                cells += 1;
                let mut message = json!({"jsonrpc": "2.0", "id": "v", "method": "tools/list"});
                if body != "-" {
                    let meta = json!({VERSION: body, CAPABILITIES: {}});
                    message["params"] = json!({"_meta": meta});
                }
                let id = if session == "mine" { &*mine } else { session };
                let headers = [
                    ("mcp-protocol-version", header),
                    (
                        "mcp-method",
                        if header == MODERN || body == MODERN {
                            "tools/list"
                        } else {
                            "-"
                        },
                    ),
                    ("mcp-session-id", id),
                ];
                let answer = post(&client, &headers, &message).await;
                let (status, code) = expected_by_table(header, body, session);
                let fits = answer.status == status && code.is_none_or(|code| answer.code() == code);
                if !fits {
                    failures.push(format!(
                        "{header} {body} {session}: {status} {code:?} expected: {} {}",
                        answer.status,
                        answer.text.chars().take(200).collect::<String>()
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{cells} cells: {failures:#?}");
    // The modern era has no `initialize`, and a request cannot change the era.
    let opened = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    let answer = client.modern(opened).await.whole().await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, -32601));
    assert!(!answer.headers.contains_key("mcp-session-id"));
    let narrow = rig.client_with("everything", NARROW_TOKEN);
    let headers = [
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "tools/call"),
        ("mcp-name", "new__echo"),
        ("mcp-session-id", &*mine),
    ];
    let answer = post(&narrow, &headers, &call("new__echo")).await;
    assert_eq!(answer.code(), -32602, "another's session lends no rights");
}
