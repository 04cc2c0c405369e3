//! Progressive gateways in every era pair: two tools are listed, the others are found by search, and `run_tool`
//! supports everything that a direct call does.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_model::{
    Digest, Era, Listing, Resource, ResourceKey, ResourceKind, Snapshot, snapshot::Entry,
};

use crate::{
    client::Client,
    rig::{NARROW, Rig, SECRET, eventually, exposed, name},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn key(kind: ResourceKind, id: &str) -> ResourceKey {
    let name = name(id);
    ResourceKey { kind, name }
}

fn progressive(snapshot: &mut Snapshot) {
    listed(snapshot, Listing::Progressive);
}

fn listed(snapshot: &mut Snapshot, listing: Listing) {
    let key = key(ResourceKind::Gateway, "everything");
    let Resource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
        panic!("not a gateway");
    };
    let mut gateway = gateway.clone();
    gateway.listing = listing;
    let entry = Entry::new(Resource::Gateway(gateway));
    snapshot.entries.insert(key, entry);
}

/// Makes the modern server require the `text` argument of `echo` in a header.
fn mirrored(snapshot: &mut Snapshot) {
    let (gateway, catalogue) = (
        key(ResourceKind::Gateway, "everything"),
        key(ResourceKind::Catalogue, "new"),
    );
    let Resource::Catalogue(offered) = &*snapshot.entries[&catalogue].resource else {
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
    let entry = Entry::new(Resource::Catalogue(offered));
    snapshot.entries.insert(catalogue, entry);
    let Resource::Gateway(shown) = &*snapshot.entries[&gateway].resource else {
        panic!("not a gateway");
    };
    let mut shown = shown.clone();
    let echo = shown
        .tools
        .iter_mut()
        .find(|tool| tool.exposed == "new__echo");
    echo.unwrap().digest = digest;
    snapshot
        .entries
        .insert(gateway, Entry::new(Resource::Gateway(shown)));
}

async fn rig() -> Rig {
    let rig = Rig::start().await;
    rig.source.configure(|snapshot| {
        mirrored(snapshot);
        progressive(snapshot);
    });
    rig
}

async fn client(rig: &Rig, era: Era, token: &str) -> Client {
    let mut client = rig.client_with("everything", token);
    client.capabilities = json!({"elicitation": {}, "sampling": {}});
    if era == Era::Legacy {
        client.initialize().await;
    }
    client
}

fn message(id: Value, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "mine"}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn running(id: Value, tool: &str, text: &str) -> Value {
    let arguments = json!({"name": tool, "arguments": {"text": text}});
    message(id, "run_tool", arguments)
}

async fn asked(client: &Client, era: Era, message: Value) -> Value {
    client.ask(era, message).await.whole().await.json()
}

async fn found(client: &Client, era: Era, query: &str) -> Vec<Value> {
    let arguments = json!({"query": query, "limit": 50});
    let answer = asked(client, era, message(json!(1), "search_tools", arguments)).await;
    let tools = &answer["result"]["structuredContent"]["tools"];
    tools
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .clone()
}

#[tokio::test]
async fn what_is_found_is_run_in_every_cell_and_nothing_is_asked_before() {
    let rig = rig().await;
    for client_era in ERAS {
        let client = client(&rig, client_era, crate::rig::TOKEN).await;
        let list = json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list"});
        let list = asked(&client, client_era, list).await;
        let names = list["result"]["tools"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["search_tools", "run_tool"]);
        for server_era in ERAS {
            let server = rig.server(server_era);
            let before = server.seen.lock().unwrap().requests.len();
            let wanted = exposed(server_era, "echo");
            let first = found(&client, client_era, &wanted).await[0].clone();
            assert_eq!(first["name"], wanted);
            assert_eq!(first["inputSchema"]["type"], "object");
            assert_eq!(server.seen.lock().unwrap().requests.len(), before);
            let ran = running(json!("seven"), &wanted, "héllo \u{1f600}");
            let frame = asked(&client, client_era, ran).await;
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
            assert_eq!(headers["authorization"], SECRET);
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
async fn mc_05_what_is_not_found_is_not_run_in_any_cell() {
    let rig = rig().await;
    for era in ERAS {
        let client = client(&rig, era, NARROW).await;
        let names = found(&client, era, "").await;
        assert_eq!(names.len(), 1);
        assert_eq!(names[0]["name"], "old__echo");
        assert!(
            found(&client, era, "new echo")
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
            let inner = asked(&client, era, running(json!(1), hidden, "x")).await;
            assert_eq!(inner["error"]["code"], -32602, "{inner}");
            if hidden != "run_tool" {
                let direct = message(json!(1), hidden, json!({}));
                assert_eq!(inner, asked(&client, era, direct).await);
            }
        }
        let own = asked(&client, era, running(json!(1), "old__echo", "mine")).await;
        assert_eq!(own["result"]["content"][0]["text"], "mine");
    }
    assert_eq!(rig.modern.calls("echo") + rig.legacy.calls("canary"), 0);
}

#[tokio::test]
async fn progress_and_failures_of_what_is_run_are_those_of_a_direct_call() {
    let rig = rig().await;
    for client_era in ERAS {
        let client = client(&rig, client_era, crate::rig::TOKEN).await;
        for server_era in ERAS {
            let tool = exposed(server_era, "stream");
            let stream = client.ask(client_era, running(json!("s"), &tool, "streamed"));
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
                let inner = asked(&client, client_era, running(json!(1), &tool, "x")).await;
                let direct = message(json!(1), &tool, json!({"text": "x"}));
                assert_eq!(inner, asked(&client, client_era, direct).await, "{tool}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_run_is_taken_back_as_a_direct_call_is() {
    let rig = rig().await;
    for client_era in ERAS {
        let client = client(&rig, client_era, crate::rig::TOKEN).await;
        for server_era in ERAS {
            let server = rig.server(server_era);
            let dropped = || server.seen.lock().unwrap().dropped;
            let before = dropped();
            let tool = exposed(server_era, "slow");
            let stream = client.ask(client_era, running(json!("gone"), &tool, "x"));
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
async fn what_a_server_asks_of_a_modern_client_is_answered_by_running_the_tool_again() {
    let rig = rig().await;
    let client = client(&rig, Era::Modern, crate::rig::TOKEN).await;
    for server_era in ERAS {
        let tool = exposed(server_era, "ask");
        let first = asked(&client, Era::Modern, running(json!(1), &tool, "x")).await;
        let result = &first["result"];
        assert_eq!(result["resultType"], "input_required", "{first}");
        let questions = result["inputRequests"].as_object().unwrap();
        let (key, question) = questions.iter().next().unwrap();
        let words = question["params"]["message"].as_str().unwrap();
        assert!(words.ends_with("Which one?"), "{words}");
        let retry = |tool: &str, text: &str| {
            let mut again = running(json!(2), tool, text);
            again["params"]["requestState"] = result["requestState"].clone();
            let said = json!({"action": "accept", "content": {"n": 7}});
            again["params"]["inputResponses"] = json!({key: said});
            again
        };
        if server_era == Era::Legacy {
            let told = asked(&client, Era::Modern, retry(&tool, "y")).await;
            let words = told["error"]["message"].as_str().unwrap();
            assert!(words.contains("another request"), "{told}");
        }
        let done = asked(&client, Era::Modern, retry(&tool, "x")).await;
        let said = done["result"]["content"][0]["text"].as_str().unwrap();
        assert!(said.contains(r#""n":7"#), "{said}");
    }
    assert_eq!(rig.legacy.calls("ask"), 1, "it ran once");
}

#[tokio::test]
async fn what_a_server_asks_of_a_legacy_client_comes_on_the_stream_of_what_is_run() {
    let rig = rig().await;
    let client = client(&rig, Era::Legacy, crate::rig::TOKEN).await;
    for server_era in ERAS {
        let tool = exposed(server_era, "ask");
        let mut stream = client
            .ask(Era::Legacy, running(json!("q"), &tool, "x"))
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
async fn a_batch_searches_and_runs_each_as_if_it_came_alone() {
    let rig = rig().await;
    let mut client = rig.client();
    client.version = "2025-03-26".to_owned();
    client.initialize().await;
    let search = message(json!(1), "search_tools", json!({"query": "new__echo"}));
    let (old, new) = (exposed(Era::Legacy, "echo"), exposed(Era::Modern, "echo"));
    let batch = json!([
        search,
        running(json!(2), &old, "two"),
        running(json!(3), &new, "three"),
        running(json!(4), "none", "four"),
    ]);
    let answers = asked(&client, Era::Legacy, batch).await;
    let found = &answers[0]["result"]["structuredContent"]["tools"];
    assert_eq!(found[0]["name"], "new__echo", "{answers}");
    let said = |at: usize| &answers[at]["result"]["content"][0]["text"];
    assert_eq!((said(1), said(2)), (&json!("two"), &json!("three")));
    assert_eq!(answers[3]["error"]["code"], -32602);
}

#[tokio::test]
async fn only_a_change_of_the_listing_is_told_and_a_search_is_always_fresh() {
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
    assert!(!found(&client, Era::Legacy, "new__echo").await.is_empty());
    rig.source.configure(|snapshot| {
        let key = key(ResourceKind::Gateway, "everything");
        let Resource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
            panic!("not a gateway");
        };
        let mut gateway = gateway.clone();
        gateway.tools.retain(|tool| tool.exposed != "new__echo");
        let entry = Entry::new(Resource::Gateway(gateway));
        snapshot.entries.insert(key, entry);
    });
    let left = found(&client, Era::Legacy, "new__echo").await;
    assert!(left.iter().all(|tool| tool["name"] != "new__echo"));
    let silent = tokio::time::timeout(Duration::from_millis(800), feed.message()).await;
    assert!(silent.is_err(), "{silent:?}");
    rig.source
        .configure(|snapshot| listed(snapshot, Listing::All));
    let told = tokio::time::timeout(Duration::from_secs(5), feed.message()).await;
    let told = told.unwrap().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
}
