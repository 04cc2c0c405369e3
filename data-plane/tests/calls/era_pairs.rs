//! Clients of both eras with servers of both eras.

use serde_json::{Value, json};
use toolgate_model::{Era, SnapshotResource, snapshot::SnapshotEntry};

use crate::rig::{TOOLS, TestRig, UPSTREAM_SECRET, exposed};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

async fn tools(rig: &TestRig, era: Era) -> Vec<String> {
    let mut client = rig.client();
    if era == Era::Legacy {
        client.initialize().await;
    }
    let list = json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list"});
    let answer = client.ask(era, list).await.whole().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let result = answer.json()["result"].clone();
    let modern = result.get("resultType").is_some();
    assert_eq!(modern, era == Era::Modern, "{result}");
    let names = result["tools"].as_array().unwrap().iter();
    names
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn both_eras_list_the_same_tools_without_asking_a_server() {
    let rig = TestRig::start().await;
    let legacy = tools(&rig, Era::Legacy).await;
    assert_eq!(legacy, tools(&rig, Era::Modern).await);
    assert_eq!(legacy.len(), 2 * TOOLS.len() + 1);
    assert_eq!(legacy[0], "old__echo");
    assert!(rig.legacy.seen.lock().unwrap().requests.is_empty());
    assert!(rig.modern.seen.lock().unwrap().requests.is_empty());
}

#[tokio::test]
async fn handshakes_carry_the_gateway_identity() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    let hello = client.initialize().await["result"].clone();
    assert_eq!(hello["protocolVersion"], "2025-11-25");
    assert_eq!(hello["capabilities"]["tools"]["listChanged"], true);
    assert!(
        hello["instructions"]
            .as_str()
            .unwrap()
            .starts_with("be kind")
    );
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let pong = client.legacy(ping).await.whole().await.json();
    assert_eq!(pong, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover"});
    let found = rig.client().modern(discover).await.whole().await;
    assert_eq!(found.json()["result"]["supportedVersions"][0], "2026-07-28");
    assert!(!found.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn a_call_works_in_every_era_pair_with_each_sides_ids_and_names() {
    let rig = TestRig::start().await;
    for client_era in ERAS {
        let mut client = rig.client();
        if client_era == Era::Legacy {
            client.initialize().await;
        }
        for server_era in ERAS {
            for id in [json!(7), json!("seven"), json!(9_007_199_254_740_993_u64)] {
                let tool = exposed(server_era, "echo");
                let called = client.call(client_era, id.clone(), &tool, "hi").await;
                let answer = called.whole().await;
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(answer.headers["content-type"], "application/json");
                let frame = answer.json();
                assert_eq!(frame["id"], id, "{client_era:?} {server_era:?}");
                assert_eq!(frame["result"]["content"][0]["text"], "hi");
                let complete = frame["result"].get("resultType") == Some(&json!("complete"));
                assert_eq!(complete, client_era == Era::Modern, "{frame}");
                assert_request_at_server(&rig, server_era, &id);
            }
        }
    }
    assert_eq!(
        rig.legacy.seen.lock().unwrap().opened,
        1,
        "one session for one principal"
    );
}

fn assert_request_at_server(rig: &TestRig, era: Era, id: &Value) {
    let (headers, message) = rig.server(era).last("tools/call").unwrap();
    assert_eq!(message["params"]["name"], "echo");
    assert_ne!(&message["id"], id, "ids towards servers are ours");
    assert_eq!(
        headers["authorization"], UPSTREAM_SECRET,
        "the client's token never goes on"
    );
    let meta = &message["params"]["_meta"];
    let version = &meta["io.modelcontextprotocol/protocolVersion"];
    match era {
        Era::Legacy => {
            assert!(version.is_null());
            assert_eq!(headers["mcp-session-id"], "session-1");
            assert_eq!(headers["mcp-protocol-version"], "2025-11-25");
            assert!(!headers.contains_key("mcp-name"));
        }
        Era::Modern => {
            assert_eq!(version, "2026-07-28");
            assert_eq!(headers["mcp-name"], "echo");
            assert_eq!(headers["mcp-method"], "tools/call");
            assert!(!headers.contains_key("mcp-session-id"));
        }
    }
}

#[tokio::test]
async fn streamed_responses_stream_in_every_era_pair_under_the_clients_ids() {
    let rig = TestRig::start().await;
    for client_era in ERAS {
        let mut client = rig.client();
        if client_era == Era::Legacy {
            client.initialize().await;
        }
        for server_era in ERAS {
            let tool = exposed(server_era, "stream");
            let stream = client.call(client_era, json!("s"), &tool, "streamed").await;
            assert_eq!(stream.headers["content-type"], "text/event-stream");
            assert_eq!(stream.headers["x-accel-buffering"], "no");
            let messages = stream.messages().await;
            let progress: Vec<_> = messages
                .iter()
                .filter(|message| message["method"] == "notifications/progress")
                .map(|message| message["params"].clone())
                .collect();
            let step = |n: u32| json!({"progressToken": "mine", "progress": n});
            assert_eq!(progress, [step(1), step(2), step(3)]);
            let logs = messages
                .iter()
                .filter(|m| m["method"] == "notifications/message");
            let logs: Vec<_> = logs
                .map(|message| message["params"]["logger"].clone())
                .collect();
            // Modern clients get log messages only on request.
            let wanted = usize::from(client_era == Era::Legacy);
            assert_eq!(logs.len(), wanted, "{client_era:?} {server_era:?}");
            let last = messages.last().unwrap();
            assert_eq!(last["id"], "s");
            assert_eq!(last["result"]["content"][0]["text"], "streamed");
        }
    }
}

#[tokio::test]
async fn a_stream_with_only_the_response_is_returned_as_json() {
    let rig = TestRig::start().await;
    let called = rig
        .client()
        .call(Era::Modern, json!(1), "new__single", "one")
        .await;
    let answer = called.whole().await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json()["result"]["content"][0]["text"], "one");
}

/// A server of both eras answers a legacy client as it would without a gateway.
#[tokio::test]
async fn a_server_of_both_eras_is_spoken_to_in_the_era_of_its_client() {
    let rig = TestRig::start().await;
    rig.source.configure(|snapshot| {
        snapshot.entries.update_each(|key, entry| {
            if let SnapshotResource::Server(server) = &*entry.resource
                && key.name.id.as_str() == "old"
            {
                let mut server = server.clone();
                server.era = Some(Era::Modern);
                server.protocol_version = "2026-07-28".to_owned();
                server.legacy_version = "2025-06-18".to_owned();
                *entry = SnapshotEntry::new(SnapshotResource::Server(server));
            }
        });
    });
    let version_of_last_call = || {
        let (headers, _) = rig.legacy.last("tools/call").unwrap();
        headers["mcp-protocol-version"].to_str().unwrap().to_owned()
    };
    let mut client = rig.client();
    client.initialize().await;
    let called = client.call(Era::Legacy, json!(1), "old__echo", "x");
    let reply = called.await.whole().await.json();
    assert_eq!(reply["result"]["content"][0]["text"], "x", "{reply}");
    assert_eq!(version_of_last_call(), "2025-06-18");
    assert_eq!(rig.legacy.seen.lock().unwrap().opened, 1);
    let called = client.call(Era::Modern, json!(2), "old__echo", "x");
    called.await.whole().await;
    assert_eq!(version_of_last_call(), "2026-07-28");
    assert_eq!(rig.legacy.seen.lock().unwrap().opened, 1, "no session");
}
