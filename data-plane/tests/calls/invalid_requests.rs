//! Invalid and unauthorized requests: HTTP status, error code and id of each rejection.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::json;
use toolgate_model::Era;

use crate::rig::{NARROW_TOKEN, TOKEN, TestRig, eventually, exposed};

const POST: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
];

#[tokio::test]
async fn an_unauthorized_caller_learns_nothing_else() {
    let rig = TestRig::start().await;
    let body = "{";
    let long = "x".repeat(600);
    let bad = ["", "archestra_wrong", "a b", &long];
    // An unknown gateway gives the same answer, so that a client without a token cannot probe for gateways.
    let tried = bad.map(|token| [("everything", token), ("nothing", token)]);
    for (gateway, token) in tried.into_iter().flatten() {
        let client = rig.client_with(gateway, token);
        let answer = client.raw(Method::POST, &POST, body).await.whole().await;
        assert_eq!(answer.status, 401, "{token}");
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
    }
    let client = rig.client_with("nothing", TOKEN);
    assert_eq!(client.raw(Method::POST, &POST, body).await.status, 404);
    rig.source.revoke(TOKEN);
    assert_eq!(
        rig.client().raw(Method::POST, &POST, body).await.status,
        401
    );
}

#[tokio::test]
async fn frames_that_are_not_one_strict_message_are_rejected() {
    let rig = TestRig::start().await;
    let client = rig.client();
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("[]", -32600),
        ("\"x\"", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#, -32700),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
    ] {
        let answer = client.raw(Method::POST, &POST, body).await.whole().await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (400, code),
            "{body}"
        );
    }
}

#[tokio::test]
async fn http_method_and_headers_of_a_request_are_checked() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let status = async |method: Method, headers: &[(&str, &str)]| {
        client.raw(method, headers, "{}").await.status.as_u16()
    };
    assert_eq!(status(Method::PUT, &POST).await, 405);
    assert_eq!(status(Method::POST, &[POST[1]]).await, 415);
    assert_eq!(
        status(Method::POST, &[("content-type", "text/plain"), POST[1]]).await,
        415
    );
    assert_eq!(
        status(Method::POST, &[POST[0], ("accept", "application/json")]).await,
        406
    );
    assert_eq!(
        status(
            Method::POST,
            &[POST[0], POST[1], ("origin", "https://evil.example")]
        )
        .await,
        403
    );
    assert_eq!(
        status(
            Method::POST,
            &[POST[0], POST[1], ("content-encoding", "gzip")]
        )
        .await,
        415
    );
}

#[tokio::test]
async fn modern_headers_must_agree_with_the_body() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let message = json!({"jsonrpc": "2.0", "id": "m", "method": "tools/call", "params": {
        "name": "new__echo", "arguments": {},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    let with = async |extra: &[(&str, &str)]| {
        let headers = [&POST[..], extra].concat();
        client
            .raw(Method::POST, &headers, &message.to_string())
            .await
            .whole()
            .await
    };
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "new__echo");
    assert_eq!(with(&[version, method, name]).await.status, 200);
    for wrong in [
        &[method, name][..],
        &[version, name],
        &[version, method],
        &[version, method, ("mcp-name", "new__fail")],
        &[version, ("mcp-method", "tools/list"), name],
        &[("mcp-protocol-version", "2025-11-25"), method, name],
    ] {
        let answer = with(wrong).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (400, -32020),
            "{wrong:?}"
        );
        assert_eq!(answer.json()["id"], "m");
    }
    assert_eq!(rig.modern.calls("echo"), 1);
}

#[tokio::test]
async fn unknown_methods_versions_and_tools_get_the_errors_of_their_era() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let answer = client.modern(unknown).await.whole().await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, -32601));
    client.initialize().await;
    let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "x/y"});
    let answer = client.legacy(unknown).await.whole().await;
    assert_eq!((answer.status.as_u16(), answer.code()), (200, -32601));
    for era in [Era::Legacy, Era::Modern] {
        let answer = client.call(era, json!(1), "echo", "x").await.whole().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (200, -32602));
    }
    let future = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2030-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    }}});
    let answer = client
        .raw(Method::POST, &POST, &future.to_string())
        .await
        .whole()
        .await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, -32022));
}

#[tokio::test]
async fn a_token_sees_and_calls_only_granted_tools_and_hidden_ones_are_unknown() {
    let rig = TestRig::start().await;
    let client = rig.client_with("everything", NARROW_TOKEN);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let listed = client.modern(list).await.whole().await.json();
    let names = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0]["name"], "old__echo");
    let granted = client.call(Era::Modern, json!(1), "old__echo", "x").await;
    assert_eq!(
        granted.whole().await.json()["result"]["content"][0]["text"],
        "x"
    );
    let strip = |text: String, name: &str| text.replace(name, "it");
    let hidden = client
        .call(Era::Modern, json!(1), "new__echo", "x")
        .await
        .whole()
        .await;
    let absent = client
        .call(Era::Modern, json!(1), "new__none", "x")
        .await
        .whole()
        .await;
    assert_eq!(
        strip(hidden.text, "new__echo"),
        strip(absent.text, "new__none")
    );
    assert_eq!(rig.modern.calls("echo"), 0);
}

#[tokio::test]
async fn large_bodies_are_rejected_and_the_next_request_is_served() {
    let rig = TestRig::with(
        |options| options.listener.limits.body_bytes = 2_000,
        Default::default(),
    )
    .await;
    let client = rig.client();
    let long = "x".repeat(3_000);
    let called = client.call(Era::Modern, json!(1), "new__echo", &long).await;
    assert_eq!(called.status, 413);
    let called = client
        .call(Era::Modern, json!(1), "new__echo", "short")
        .await;
    assert_eq!(called.status, 200);
}

#[tokio::test]
async fn requests_and_failures_are_counted() {
    let rig = TestRig::start().await;
    let client = rig.client();
    client
        .call(Era::Modern, json!(1), "new__echo", "x")
        .await
        .whole()
        .await;
    client
        .call(Era::Modern, json!(1), "new__none", "x")
        .await
        .whole()
        .await;
    let text = rig.metrics.render();
    for part in [
        "mcp_server_operation_duration",
        "gen_ai_tool_name=\"new__echo\"",
        "reason=\"unknown_tool\"",
        "toolgate_overhead_duration",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Requests of clients are measured in the client's protocol version, requests to servers in the server's.
#[tokio::test]
async fn metrics_carry_the_protocol_version_of_each_side_in_every_era_pair() {
    let eras = [(Era::Legacy, "2025-11-25"), (Era::Modern, "2026-07-28")];
    for (by, asked) in eras {
        for (to, spoken) in eras {
            let rig = TestRig::start().await;
            let mut client = rig.client();
            if by == Era::Legacy {
                client.initialize().await;
            }
            let name = exposed(to, "echo");
            let called = client.call(by, json!(1), &name, "x").await.whole().await;
            assert_eq!(called.json()["result"]["content"][0]["text"], "x");
            let text = rig.metrics.render();
            for (metric, version) in [
                ("mcp_server_operation_duration_seconds_count", asked),
                ("mcp_client_operation_duration_seconds_count", spoken),
            ] {
                let label = format!("gen_ai_tool_name=\"{name}\"");
                let is = |line: &&str| line.starts_with(metric) && line.contains(&label);
                let [line] = text.lines().filter(is).collect::<Vec<_>>()[..] else {
                    panic!("{metric} in {text}");
                };
                let label = format!("mcp_protocol_version=\"{version}\"");
                assert!(line.contains(&label), "{by:?} {to:?}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn a_late_rejection_keeps_the_request_id() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    // A duplicate id is rejected only when the call is about to be sent.
    let first = client
        .call(Era::Legacy, json!("twice"), "new__slow", "x")
        .await;
    let again = client.call(Era::Legacy, json!("twice"), "new__slow", "x");
    let again = again.await.whole().await.json();
    assert!(again["error"]["code"].is_i64(), "{again}");
    assert_eq!(again["id"], "twice");
    drop(first);
}

#[tokio::test]
async fn a_call_that_panics_is_answered_with_its_id_and_counted() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    rig.source.credentials_panic.store(true, Ordering::Relaxed);
    for era in [Era::Legacy, Era::Modern] {
        let answer = client.call(era, json!("p"), "new__echo", "x").await;
        let answer = answer.whole().await;
        assert_eq!((answer.status.as_u16(), answer.code()), (500, -32603));
        assert_eq!(answer.json()["id"], "p");
    }
    let text = rig.metrics.render();
    assert!(text.contains("error_type=\"internal\""), "{text}");
}

#[tokio::test]
async fn cancelled_calls_are_counted() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let counted = |tool: &str| {
        let text = rig.metrics.render();
        let of = format!("gen_ai_tool_name=\"{tool}\"");
        text.lines()
            .any(|line| line.contains(&of) && line.contains("error_type=\"cancelled\""))
    };
    let left = client.call(Era::Modern, json!(1), "new__slow", "x").await;
    drop(left);
    eventually("the client that left is counted", || counted("new__slow")).await;
    let name = exposed(Era::Legacy, "slow");
    let _open = client.call(Era::Legacy, json!(2), &name, "x").await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": 2}});
    assert_eq!(client.legacy(cancel).await.status, 202);
    eventually("the call taken back is counted", || counted(&name)).await;
}
