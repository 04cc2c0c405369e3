//! Requests for tools, prompts and resources that are not granted, under every spelling and method.

use http::Method;
use serde_json::{Value, json};
use toolgate_mcp::headers::encode;
use toolgate_model::Era;

use crate::{
    client::{TestClient, TestResponse},
    rig::{NARROW_TOKEN, TOOLS, TestRig},
    server::FakeServer,
};

/// Sends a request in the form of `era`, also with names that do not fit into a header.
async fn ask(client: &TestClient, era: Era, method: &str, mut params: Value) -> TestResponse {
    let message = json!({"jsonrpc": "2.0", "id": "n", "method": method, "params": params});
    if era == Era::Legacy {
        return client.legacy(message).await.whole().await;
    }
    let named = params["name"].as_str().or(params["uri"].as_str());
    let name = encode(named.unwrap_or_default()).into_owned();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message = json!({"jsonrpc": "2.0", "id": "n", "method": method, "params": params});
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    if method != "completion/complete" {
        headers.push(("mcp-name", &name));
    }
    let body = message.to_string();
    let sent = client.raw(Method::POST, &headers, &body).await;
    sent.whole().await
}

/// Requests that reached a server, without session setup.
fn methods_at_server(server: &FakeServer) -> Vec<Value> {
    let seen = server.seen.lock().unwrap();
    let methods = seen.requests.iter().map(|(_, m)| m["method"].clone());
    let opening = ["initialize", "notifications/initialized", "ping"];
    methods
        .filter(|m| !opening.contains(&m.as_str().unwrap_or_default()))
        .collect()
}

/// Names that look like a granted tool to a human or to a lenient parser.
const LOOKALIKE_NAMES: [&str; 27] = [
    "OLD__ECHO",
    "Old__echo",
    "old__Echo",
    "old__echo ",
    " old__echo",
    "old__echo\u{0}",
    "old__echo\u{200b}",
    "old__ech\u{43e}",
    "\u{ff4f}ld__echo",
    "old__\u{212f}cho",
    "old__e\u{301}cho",
    "old\u{5f}\u{2d}echo",
    "old/echo",
    "old.echo",
    "old_echo",
    "echo",
    "gone__echo",
    "old__old__echo",
    "old__echo\n",
    "\u{202e}ohce__dlo",
    "old__echo\u{e0041}",
    "",
    ".",
    "..",
    "*",
    "old__*",
    "${old__echo}",
];

/// Requests for objects that are not granted.
fn forbidden_requests() -> Vec<(&'static str, Value)> {
    let mut asked: Vec<(&str, Value)> = Vec::new();
    let hidden = TOOLS.iter().flat_map(|tool| {
        let both = [format!("old__{tool}"), format!("new__{tool}")];
        both.into_iter().filter(|name| name != "old__echo")
    });
    let names = hidden.chain(LOOKALIKE_NAMES.iter().map(|name| (*name).to_owned()));
    for name in names {
        let params = json!({"name": name, "arguments": {"text": "x"}});
        asked.push(("tools/call", params));
    }
    for name in ["old__greet", "new__greet", "greet", "OLD__GREET"] {
        asked.push(("prompts/get", json!({"name": name})));
        let reference = json!({"type": "ref/prompt", "name": name});
        let argument = json!({"name": "who", "value": ""});
        asked.push((
            "completion/complete",
            json!({"ref": reference, "argument": argument}),
        ));
    }
    for uri in [
        "memo:today",
        "old+memo:today",
        "new+memo:today",
        "MEMO:today",
        "test://1",
        "test://{id}",
        "new+test://1",
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "memo:%74oday",
    ] {
        asked.push(("resources/read", json!({"uri": uri})));
        let reference = json!({"type": "ref/resource", "uri": uri});
        let argument = json!({"name": "id", "value": ""});
        asked.push((
            "completion/complete",
            json!({"ref": reference, "argument": argument}),
        ));
    }
    asked
}

/// A token limited to `old__echo` requests everything else: by name, by lookalike names and by every other method that
/// takes a name.
#[tokio::test]
async fn mc_05_an_unlisted_tool_cannot_be_called_under_any_name() {
    let rig = TestRig::start().await;
    let modern = rig.client_with("everything", NARROW_TOKEN);
    let mut legacy = rig.client_with("everything", NARROW_TOKEN);
    legacy.initialize().await;
    for (method, params) in forbidden_requests() {
        for (era, client) in [(Era::Legacy, &legacy), (Era::Modern, &modern)] {
            let answer = ask(client, era, method, params.clone()).await;
            let error = answer.json()["error"].clone();
            assert!(
                error["code"].is_i64(),
                "{era:?} {method} {params}: {answer:?}"
            );
        }
    }
    assert_eq!(methods_at_server(&rig.legacy), Vec::<Value>::new());
    assert_eq!(methods_at_server(&rig.modern), Vec::<Value>::new());
    for (era, client) in [(Era::Legacy, &legacy), (Era::Modern, &modern)] {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let list = client.ask(era, list).await.whole().await.json();
        let tools = list["result"]["tools"].as_array().unwrap().clone();
        assert_eq!(tools.len(), 1, "what is listed is what can be called");
        let params = json!({"name": tools[0]["name"], "arguments": {"text": "x"}});
        let answer = ask(client, era, "tools/call", params).await.json();
        assert_eq!(answer["result"]["content"][0]["text"], "x", "{answer}");
    }
}
