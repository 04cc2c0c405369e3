//! Concurrent clients with equal ids, servers that mark user-specific results as public, and headers of clients that are
//! internal elsewhere.

use serde_json::{Value, json};
use toolgate_model::Era;

use crate::{
    client::TestClient,
    rig::{NARROW_TOKEN, TOKEN, TestRig, exposed, sized},
};

const CLIENTS: usize = 64;

/// Calls per client.
fn calls_per_client() -> usize {
    sized(100, 1_000_000 / CLIENTS)
}

/// Asserts that every message of a call carries its own canary.
async fn assert_own_messages(client: &TestClient, by: Era, tool: &str, id: usize, canary: &str) {
    let stream = client.call(by, json!(id), tool, canary).await;
    assert_eq!(stream.status, 200);
    let is_stream = stream.headers["content-type"] == "text/event-stream";
    let messages = if is_stream {
        stream.messages().await
    } else {
        vec![stream.whole().await.json()]
    };
    let last = messages.last().unwrap();
    assert_eq!(last["id"], id, "{canary}");
    assert_eq!(last["result"]["content"][0]["text"], canary, "{last}");
    for told in &messages[..messages.len() - 1] {
        let params = &told["params"];
        let said = match told["method"].as_str().unwrap() {
            "notifications/progress" => {
                assert_eq!(params["progressToken"], "mine");
                &params["message"]
            }
            "notifications/message" => &params["data"],
            other => panic!("{other} was not for {canary}"),
        };
        assert_eq!(said, canary, "{told}");
    }
}

async fn run_client(mut client: TestClient, number: usize, narrow: bool) {
    let by = if number.is_multiple_of(2) {
        Era::Legacy
    } else {
        Era::Modern
    };
    if by == Era::Legacy {
        client.initialize().await;
    }
    for id in 0..calls_per_client() {
        let to = if id.is_multiple_of(2) {
            Era::Legacy
        } else {
            Era::Modern
        };
        let tool = match (narrow, id % 3) {
            (true, _) => "old__echo".to_owned(),
            (false, 0) => exposed(to, "echo"),
            (false, _) => exposed(to, "canary"),
        };
        assert_own_messages(&client, by, &tool, id, &format!("canary {number}/{id}")).await;
    }
}

/// 64 clients of both eras and two principals use the same ids and the same progress token with servers of both eras.
/// Each call has its own canary in its log message, progress and result.
#[tokio::test(flavor = "multi_thread")]
async fn ti_05_clients_with_equal_ids_and_progress_tokens_get_only_their_own_messages() {
    let rig = TestRig::start().await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let narrow = number % 4 == 3;
        let client = if narrow {
            rig.client_with("everything", NARROW_TOKEN)
        } else {
            rig.client()
        };
        clients.spawn(run_client(client, number, narrow));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let seen = rig.legacy.seen.lock().unwrap();
    let calls = seen
        .requests
        .iter()
        .filter(|(_, m)| m["method"] == "tools/call");
    let mut whose = std::collections::BTreeMap::<String, bool>::new();
    for (headers, message) in calls {
        let text = message["params"]["arguments"]["text"].as_str().unwrap();
        let number = text.trim_start_matches("canary ").split('/').next();
        let narrow = number.unwrap().parse::<usize>().unwrap() % 4 == 3;
        let session = headers["mcp-session-id"].to_str().unwrap().to_owned();
        let owner = *whose.entry(session).or_insert(narrow);
        assert_eq!(owner, narrow, "two principals in one session of a server");
    }
}

async fn result(client: &TestClient, method: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": "c", "method": method, "params": params});
    let answer = client.modern(message).await.whole().await.json();
    assert!(answer["result"].is_object(), "{method}: {answer}");
    answer["result"].clone()
}

/// Servers mark user-specific results as `public` in several spellings; lists depend on the token.
#[tokio::test]
async fn ti_06_no_result_is_marked_public_for_caches() {
    let rig = TestRig::start().await;
    let wide = rig.client();
    for scope in ["public", "Public", "PUBLIC", "shared", "private"] {
        let params = json!({"uri": format!("new+test://scope-{scope}")});
        let read = result(&wide, "resources/read", params).await;
        assert_eq!(read["contents"][0]["text"], "of one user");
        assert_eq!(read["cacheScope"], "private", "{scope}: {read}");
        assert_eq!(read["ttlMs"], 60_000);
    }
    let narrow = rig.client_with("everything", NARROW_TOKEN);
    for client in [&wide, &narrow] {
        for method in [
            "server/discover",
            "tools/list",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
        ] {
            let result = result(client, method, json!({})).await;
            assert_eq!(result["cacheScope"], "private", "{method}: {result}");
        }
    }
    // Nothing is cached: the same request goes to the server again.
    let before = rig.modern.seen.lock().unwrap().requests.len()
        + rig.legacy.seen.lock().unwrap().requests.len();
    let params = json!({"uri": "new+test://scope-public"});
    result(&wide, "resources/read", params).await;
    let after = rig.modern.seen.lock().unwrap().requests.len()
        + rig.legacy.seen.lock().unwrap().requests.len();
    assert_eq!(after, before + 1);
}

/// Headers in which proxies and applications trust each other: addresses, callers, tenants, targets, methods and fields of one
/// connection.
const INTERNAL_HEADERS: [(&str, &str); 40] = [
    ("forwarded", "for=127.0.0.1;host=other;proto=https"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-prefix", "/v1/mcp/other"),
    ("x-forwarded-uri", "/v1/mcp/other"),
    ("x-forwarded-user", "carol"),
    ("x-forwarded-client-cert", "Subject=\"CN=proxy-two\""),
    ("x-real-ip", "127.0.0.1"),
    ("x-client-ip", "127.0.0.1"),
    ("x-original-url", "/v1/mcp/other"),
    ("x-original-host", "evil.example"),
    ("x-rewrite-url", "/v1/mcp/other"),
    ("x-http-method-override", "DELETE"),
    ("x-method-override", "DELETE"),
    ("x-tenant", "rival"),
    ("x-tenant-id", "rival"),
    ("x-organization", "rival"),
    ("x-user", "carol"),
    ("x-user-id", "carol"),
    ("x-principal", "default/user:carol"),
    ("x-remote-user", "carol"),
    ("x-authenticated-user", "carol"),
    ("x-webauth-user", "carol"),
    ("x-role", "admin"),
    ("x-api-key", TOKEN),
    ("x-toolgate-principal", "default/user:carol"),
    ("x-toolgate-gateway", "other"),
    ("x-toolgate-server", "old"),
    ("toolgate-proxy", "proxy-two"),
    ("x-envoy-original-path", "/v1/mcp/other"),
    ("x-mcp-servername", "old"),
    ("mcp-gateway", "other"),
    ("proxy-authorization", "Bearer archestra_a-good-token"),
    ("cookie", "authorization=archestra_a-good-token"),
    ("via", "1.1 proxy-two"),
    ("te", "trailers"),
    ("keep-alive", "timeout=1000"),
    ("connection", "authorization, mcp-session-id, mcp-method"),
];

/// Status and body of a response, and the headers that its server got.
type ObservedCall = (u16, String, Vec<(String, String)>);

/// Calls the tools of both servers with these headers: with a token for everything, one for another tool, and none.
async fn observed_calls(
    rig: &TestRig,
    headers: &[(&'static str, &'static str)],
) -> Vec<ObservedCall> {
    let mut observed = Vec::new();
    for token in [TOKEN, NARROW_TOKEN, ""] {
        for era in [Era::Legacy, Era::Modern] {
            let mut client = rig.client_with("everything", token);
            client.extra_headers = headers.to_vec();
            let before = rig.server(era).count("tools/call");
            let tool = exposed(era, "echo");
            let called = client.call(Era::Modern, json!(1), &tool, "x");
            let answer = called.await.whole().await;
            let mut seen = Vec::new();
            if rig.server(era).count("tools/call") > before {
                let (headers, _) = rig.server(era).last("tools/call").unwrap();
                let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                    (name.to_string(), value.to_str().unwrap().to_owned())
                };
                seen = headers.iter().map(text).collect();
                // Request ids at a legacy server grow.
                seen.retain(|(name, _)| name != "content-length");
                seen.sort();
            }
            observed.push((answer.status.as_u16(), answer.text, seen));
        }
    }
    observed
}

/// Sends headers that are internal between proxies, one by one and all at once: responses, and the requests that servers get,
/// are the same as without the header.
#[tokio::test]
async fn ti_09_internal_headers_of_a_client_have_no_effect() {
    let rig = TestRig::start().await;
    let plain = observed_calls(&rig, &[]).await;
    let statuses: Vec<u16> = plain.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 401, 401]);
    let reached: Vec<bool> = plain.iter().map(|(.., seen)| !seen.is_empty()).collect();
    assert_eq!(reached, [true, true, true, false, false, false]);
    for header in INTERNAL_HEADERS {
        assert_eq!(observed_calls(&rig, &[header]).await, plain, "{header:?}");
    }
    assert_eq!(observed_calls(&rig, &INTERNAL_HEADERS).await, plain);
}
