//! Concurrent clients with equal ids, and servers that mark user-specific results as public.

use serde_json::{Value, json};
use toolgate_model::Era;

use crate::{
    client::TestClient,
    rig::{NARROW_TOKEN, TestRig, exposed},
};

const CLIENTS: usize = 64;

/// Calls per client. With `TOOLGATE_TEST_MILLION` (set by `make million`) one million calls in total.
fn calls_per_client() -> usize {
    match std::env::var_os("TOOLGATE_TEST_MILLION") {
        Some(_) => 1_000_000 / CLIENTS,
        None => 100,
    }
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
