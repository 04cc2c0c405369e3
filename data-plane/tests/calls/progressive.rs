//! Progressive gateways in every era pair: two tools are listed, the others are found by search, and `run_tool`
//! supports everything that a direct call does.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_model::{
    Digest, Era, ResourceKey, Snapshot, SnapshotResource, SnapshotResourceKind, ToolListing,
    snapshot::SnapshotEntry,
};

use crate::{
    client::TestClient,
    rig::{HANG_GUARD, NARROW_TOKEN, TestRig, UPSTREAM_SECRET, eventually, exposed, name},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn key(kind: SnapshotResourceKind, id: &str) -> ResourceKey {
    let name = name(id);
    ResourceKey { kind, name }
}

fn progressive(snapshot: &mut Snapshot) {
    set_listing(snapshot, ToolListing::Progressive);
}

fn set_listing(snapshot: &mut Snapshot, listing: ToolListing) {
    let key = key(SnapshotResourceKind::Gateway, "everything");
    let SnapshotResource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
        panic!("not a gateway");
    };
    let mut gateway = gateway.clone();
    gateway.listing = listing;
    let entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
    snapshot.entries.insert(key, entry);
}

/// Makes the modern server require the `text` argument of `echo` in a header.
fn mirror_text_in_header(snapshot: &mut Snapshot) {
    let (gateway, catalogue) = (
        key(SnapshotResourceKind::Gateway, "everything"),
        key(SnapshotResourceKind::Catalogue, "new"),
    );
    let SnapshotResource::Catalogue(offered) = &*snapshot.entries[&catalogue].resource else {
        panic!("no catalogue");
    };
    let mut offered = offered.clone();
    let echo = offered.tools.iter_mut().find(|tool| tool.name == "echo");
    let echo = echo.unwrap();
    let json = echo.json.replace(
        r#""type":"string""#,
        r#""type":"string","x-mcp-header":"Text""#,
    );
    assert_ne!(*json, *echo.json);
    (echo.digest, echo.json) = (Digest::of_bytes(json.as_bytes()), json.into());
    let digest = echo.digest;
    let entry = SnapshotEntry::new(SnapshotResource::Catalogue(offered));
    snapshot.entries.insert(catalogue, entry);
    let SnapshotResource::Gateway(shown) = &*snapshot.entries[&gateway].resource else {
        panic!("not a gateway");
    };
    let mut shown = shown.clone();
    let echo = shown
        .tools
        .iter_mut()
        .find(|tool| tool.exposed == "new__echo");
    echo.unwrap().digest = digest;
    snapshot.entries.insert(
        gateway,
        SnapshotEntry::new(SnapshotResource::Gateway(shown)),
    );
}

async fn rig() -> TestRig {
    let rig = TestRig::start().await;
    rig.source.configure(|snapshot| {
        mirror_text_in_header(snapshot);
        progressive(snapshot);
    });
    rig
}

async fn client(rig: &TestRig, era: Era, token: &str) -> TestClient {
    let mut client = rig.client_with("everything", token);
    client.capabilities = json!({"elicitation": {}, "sampling": {}});
    if era == Era::Legacy {
        client.initialize().await;
    }
    client
}

fn tool_call(id: Value, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "mine"}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn run_tool_call(id: Value, tool: &str, text: &str) -> Value {
    let arguments = json!({"name": tool, "arguments": {"text": text}});
    tool_call(id, "run_tool", arguments)
}

async fn last_response(client: &TestClient, era: Era, message: Value) -> Value {
    client.ask(era, message).await.whole().await.json()
}

async fn search(client: &TestClient, era: Era, query: &str) -> Vec<Value> {
    let arguments = json!({"query": query, "limit": 50});
    let answer = last_response(client, era, tool_call(json!(1), "search_tools", arguments)).await;
    let tools = &answer["result"]["structuredContent"]["tools"];
    tools
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .clone()
}

#[tokio::test]
async fn a_found_tool_runs_in_every_era_pair_without_earlier_server_requests() {
    let rig = rig().await;
    for client_era in ERAS {
        let client = client(&rig, client_era, crate::rig::TOKEN).await;
        let list = json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list"});
        let list = last_response(&client, client_era, list).await;
        let names = list["result"]["tools"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["search_tools", "run_tool"]);
        for server_era in ERAS {
            let server = rig.server(server_era);
            let before = server.seen.lock().unwrap().requests.len();
            let wanted = exposed(server_era, "echo");
            let first = search(&client, client_era, &wanted).await[0].clone();
            assert_eq!(first["name"], wanted);
            assert_eq!(first["inputSchema"]["type"], "object");
            assert_eq!(server.seen.lock().unwrap().requests.len(), before);
            let ran = run_tool_call(json!("seven"), &wanted, "héllo \u{1f600}");
            let frame = last_response(&client, client_era, ran).await;
            assert_eq!(frame["id"], "seven");
            assert_eq!(
                frame["result"]["content"][0]["text"], "héllo \u{1f600}",
                "{frame}"
            );
            let (headers, sent) = server.last("tools/call").unwrap();
            assert_eq!(sent["params"]["name"], "echo");
            assert_eq!(
                sent["params"]["arguments"],
                json!({"text": "héllo \u{1f600}"})
            );
            assert_eq!(headers["authorization"], UPSTREAM_SECRET);
            if server_era == Era::Modern {
                assert_eq!(headers["mcp-name"], "echo");
                assert_eq!(headers["mcp-param-text"], "=?base64?aMOpbGxvIPCfmIA=?=");
            }
            let known = exposed(server_era, "single");
            let direct = client.call(client_era, json!(2), &known, "x").await;
            let direct = direct.whole().await;
            assert_eq!(direct.json()["result"]["content"][0]["text"], "x");
        }
    }
    let text = rig.metrics.render();
    for tool in ["old__echo", "new__echo"] {
        let label = format!("gen_ai_tool_name=\"{tool}\"");
        assert!(text.contains(&label), "{text}");
    }
    assert!(
        !text.contains("run_tool"),
        "the tool that ran is counted: {text}"
    );
}

#[tokio::test]
async fn mc_05_a_tool_that_is_not_found_cannot_be_run_in_any_era_pair() {
    let rig = rig().await;
    for era in ERAS {
        let client = client(&rig, era, NARROW_TOKEN).await;
        let names = search(&client, era, "").await;
        assert_eq!(names.len(), 1);
        assert_eq!(names[0]["name"], "old__echo");
        assert!(
            search(&client, era, "new echo")
                .await
                .iter()
                .all(|it| it["name"] == "old__echo")
        );
        for hidden in [
            "new__echo",
            "old__canary",
            "Old__echo",
            "echo",
            "run_tool",
            "none",
        ] {
            let inner = last_response(&client, era, run_tool_call(json!(1), hidden, "x")).await;
            assert_eq!(inner["error"]["code"], -32602, "{inner}");
            if hidden != "run_tool" {
                let direct = tool_call(json!(1), hidden, json!({}));
                assert_eq!(inner, last_response(&client, era, direct).await);
            }
        }
        let own = last_response(&client, era, run_tool_call(json!(1), "old__echo", "mine")).await;
        assert_eq!(own["result"]["content"][0]["text"], "mine");
    }
    assert_eq!(rig.modern.calls("echo") + rig.legacy.calls("canary"), 0);
}

#[tokio::test]
async fn progress_and_failures_of_run_tool_match_a_direct_call() {
    let rig = rig().await;
    for client_era in ERAS {
        let client = client(&rig, client_era, crate::rig::TOKEN).await;
        for server_era in ERAS {
            let tool = exposed(server_era, "stream");
            let stream = client.ask(client_era, run_tool_call(json!("s"), &tool, "streamed"));
            let messages = stream.await.messages().await;
            let progress: Vec<_> = messages
                .iter()
                .filter(|message| message["method"] == "notifications/progress")
                .map(|message| message["params"].clone())
                .collect();
            let step = |n: u32| json!({"progressToken": "mine", "progress": n});
            assert_eq!(progress, [step(1), step(2), step(3)]);
            let last = messages.last().unwrap();
            assert_eq!(last["result"]["content"][0]["text"], "streamed");
            for failing in ["tool_error", "error", "fail", "garbage"] {
                let tool = exposed(server_era, failing);
                let inner =
                    last_response(&client, client_era, run_tool_call(json!(1), &tool, "x")).await;
                let direct = tool_call(json!(1), &tool, json!({"text": "x"}));
                assert_eq!(
                    inner,
                    last_response(&client, client_era, direct).await,
                    "{tool}"
                );
            }
        }
    }
}

#[tokio::test]
async fn run_tool_is_cancelled_like_a_direct_call() {
    let rig = rig().await;
    for client_era in ERAS {
        let client = client(&rig, client_era, crate::rig::TOKEN).await;
        for server_era in ERAS {
            let server = rig.server(server_era);
            let dropped = || server.seen.lock().unwrap().dropped;
            let before = dropped();
            let tool = exposed(server_era, "slow");
            let stream = client.ask(client_era, run_tool_call(json!("gone"), &tool, "x"));
            let mut stream = stream.await;
            assert!(stream.message().await.is_some());
            if client_era == Era::Legacy {
                let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                    "params": {"requestId": "gone"}});
                assert_eq!(client.legacy(cancel).await.status, 202);
            }
            // A disconnecting modern client cancels its call.
            drop(stream);
            eventually("the server sees it closed", || dropped() > before).await;
        }
    }
    let told = || rig.legacy.last("notifications/cancelled").is_some();
    eventually("the legacy server is told", told).await;
}

#[tokio::test]
async fn a_modern_client_answers_a_server_request_by_repeating_run_tool() {
    let rig = rig().await;
    let client = client(&rig, Era::Modern, crate::rig::TOKEN).await;
    for server_era in ERAS {
        let tool = exposed(server_era, "ask");
        let first = last_response(&client, Era::Modern, run_tool_call(json!(1), &tool, "x")).await;
        let result = &first["result"];
        assert_eq!(result["resultType"], "input_required", "{first}");
        let questions = result["inputRequests"].as_object().unwrap();
        let (key, question) = questions.iter().next().unwrap();
        let words = question["params"]["message"].as_str().unwrap();
        assert!(words.ends_with("Which one?"), "{words}");
        let retry = |tool: &str, text: &str| {
            let mut again = run_tool_call(json!(2), tool, text);
            again["params"]["requestState"] = result["requestState"].clone();
            let said = json!({"action": "accept", "content": {"n": 7}});
            again["params"]["inputResponses"] = json!({key: said});
            again
        };
        if server_era == Era::Legacy {
            let told = last_response(&client, Era::Modern, retry(&tool, "y")).await;
            let words = told["error"]["message"].as_str().unwrap();
            assert!(words.contains("another request"), "{told}");
        }
        let done = last_response(&client, Era::Modern, retry(&tool, "x")).await;
        let said = done["result"]["content"][0]["text"].as_str().unwrap();
        assert!(said.contains(r#""n":7"#), "{said}");
    }
    assert_eq!(rig.legacy.calls("ask"), 1, "it ran once");
}

#[tokio::test]
async fn a_legacy_client_gets_server_requests_on_the_stream_of_run_tool() {
    let rig = rig().await;
    let client = client(&rig, Era::Legacy, crate::rig::TOKEN).await;
    for server_era in ERAS {
        let tool = exposed(server_era, "ask");
        let mut stream = client
            .ask(Era::Legacy, run_tool_call(json!("q"), &tool, "x"))
            .await;
        let question = stream.message().await.unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let said = json!({"jsonrpc": "2.0", "id": question["id"],
            "result": {"action": "accept", "content": {"n": 7}}});
        client.legacy(said).await.whole().await;
        let last = stream.messages().await.pop().unwrap();
        let said = last["result"]["content"][0]["text"].as_str().unwrap();
        assert!(said.contains(r#""n":7"#), "{last}");
    }
}

#[tokio::test]
async fn search_and_run_in_a_batch_behave_like_single_requests() {
    let rig = rig().await;
    let mut client = rig.client();
    client.version = "2025-03-26".to_owned();
    client.initialize().await;
    let search = tool_call(json!(1), "search_tools", json!({"query": "new__echo"}));
    let (old, new) = (exposed(Era::Legacy, "echo"), exposed(Era::Modern, "echo"));
    let batch = json!([
        search,
        run_tool_call(json!(2), &old, "two"),
        run_tool_call(json!(3), &new, "three"),
        run_tool_call(json!(4), "none", "four"),
    ]);
    let answers = last_response(&client, Era::Legacy, batch).await;
    let found = &answers[0]["result"]["structuredContent"]["tools"];
    assert_eq!(found[0]["name"], "new__echo", "{answers}");
    let said = |at: usize| &answers[at]["result"]["content"][0]["text"];
    assert_eq!((said(1), said(2)), (&json!("two"), &json!("three")));
    assert_eq!(answers[3]["error"]["code"], -32602);
}

#[tokio::test]
async fn only_a_listing_mode_change_is_notified_and_a_search_is_always_current() {
    let rig = rig().await;
    let client = client(&rig, Era::Legacy, crate::rig::TOKEN).await;
    let headers = [("accept", "text/event-stream")];
    let session = client.session.clone().unwrap();
    let mut feed = client
        .raw(
            http::Method::GET,
            &[
                headers[0],
                ("mcp-session-id", &session),
                ("mcp-protocol-version", "2025-11-25"),
            ],
            "",
        )
        .await;
    assert!(!search(&client, Era::Legacy, "new__echo").await.is_empty());
    rig.source.configure(|snapshot| {
        let key = key(SnapshotResourceKind::Gateway, "everything");
        let SnapshotResource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
            panic!("not a gateway");
        };
        let mut gateway = gateway.clone();
        gateway.tools.retain(|tool| tool.exposed != "new__echo");
        let entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
        snapshot.entries.insert(key, entry);
    });
    let left = search(&client, Era::Legacy, "new__echo").await;
    assert!(left.iter().all(|tool| tool["name"] != "new__echo"));
    let silent = tokio::time::timeout(Duration::from_millis(800), feed.message()).await;
    assert!(silent.is_err(), "{silent:?}");
    rig.source
        .configure(|snapshot| set_listing(snapshot, ToolListing::All));
    let told = tokio::time::timeout(HANG_GUARD, feed.message()).await;
    let told = told.unwrap().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
}
