//! URL elicitation and roots requests in every era pair: relayed only to clients that declared the capability.

use serde_json::{Value, json};
use toolgate_model::{
    Era, ResourceKey, SnapshotResource, SnapshotResourceKind, snapshot::SnapshotEntry,
};

use crate::{
    client::TestClient,
    rig::{TestRig, exposed, name},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn server_id(era: Era) -> &'static str {
    match era {
        Era::Legacy => "old",
        Era::Modern => "new",
    }
}

async fn client(rig: &TestRig, era: Era, capabilities: Value) -> TestClient {
    let mut client = rig.client();
    client.capabilities = capabilities;
    if era == Era::Legacy {
        client.initialize().await;
    }
    client
}

fn call(tool: &str, back: Value) -> Value {
    let mut params = json!({"name": tool, "arguments": {"text": "x"}});
    params
        .as_object_mut()
        .unwrap()
        .extend(back.as_object().unwrap().clone());
    json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params})
}

/// Calls a tool that sends one request. Returns its parameters, the id that the gateway gave it, and the response that
/// the server got after the client answered with `said`.
async fn relay_one_request(
    client: &TestClient,
    (era, to): (Era, Era),
    tool: &str,
    method: &str,
    said: &Value,
) -> (Value, Value, Value) {
    let tool = exposed(to, tool);
    let (params, own, last) = match era {
        Era::Legacy => {
            let mut stream = client.legacy(call(&tool, json!({}))).await;
            let asked = stream.message().await.unwrap();
            assert_eq!(asked["method"], method, "{asked}");
            let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": said});
            let posted = client.legacy(answer).await.whole().await;
            assert_eq!(posted.status, 202);
            let last = stream.message().await.unwrap();
            (asked["params"].clone(), asked["id"].clone(), last)
        }
        Era::Modern => {
            let first = client.modern(call(&tool, json!({}))).await;
            let first = first.whole().await.json()["result"].clone();
            assert_eq!(first["resultType"], "input_required", "{first}");
            let asked = first["inputRequests"].as_object().unwrap();
            let (key, request) = asked.iter().next().unwrap();
            assert_eq!((asked.len(), &request["method"]), (1, &json!(method)));
            let back = json!({"inputResponses": {key: said},
                "requestState": first["requestState"]});
            let last = client.modern(call(&tool, back)).await.whole().await.json();
            (request["params"].clone(), Value::Null, last)
        }
    };
    let text = last["result"]["content"][0]["text"].as_str();
    let heard: Value = serde_json::from_str(text.unwrap_or_else(|| panic!("{last}"))).unwrap();
    let heard = match to {
        Era::Legacy => heard[0]["result"].clone(),
        Era::Modern => heard["who"].clone(),
    };
    (params, own, heard)
}

/// Asserts that a request is not relayed to a client without the capability.
async fn assert_not_relayed(client: &TestClient, era: Era, to: Era, tool: &str) {
    let stream = client.ask(era, call(&exposed(to, tool), json!({}))).await;
    let messages = match stream.headers["content-type"] == "text/event-stream" {
        true => stream.messages().await,
        false => vec![stream.whole().await.json()],
    };
    let [last] = &messages[..] else {
        panic!("{era:?} {to:?}: {messages:?}");
    };
    let at = format!("{era:?} {to:?}: {last}");
    match to {
        // A legacy server gets an error and handles it itself.
        Era::Legacy => {
            let text = last["result"]["content"][0]["text"].as_str();
            assert!(text.expect(&at).contains("-32601"), "{at}");
        }
        // A modern server requested an undeclared capability.
        Era::Modern => assert_eq!(last["result"]["isError"], true, "{at}"),
    }
}

/// Capabilities that were declared to the last called server.
fn declared_capabilities(rig: &TestRig, to: Era) -> Value {
    match to {
        Era::Legacy => {
            let (_, hello) = rig.legacy.last("initialize").unwrap();
            hello["params"]["capabilities"].clone()
        }
        Era::Modern => {
            let (_, sent) = rig.modern.last("tools/call").unwrap();
            sent["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"].clone()
        }
    }
}

#[tokio::test]
async fn cf_1_url_elicitation_is_relayed_in_every_era_pair() {
    let can = json!({"elicitation": {"url": {}}});
    for (era, to) in ERAS.into_iter().flat_map(|era| ERAS.map(|to| (era, to))) {
        let rig = TestRig::start().await;
        let client = client(&rig, era, can.clone()).await;
        let said = json!({"action": "accept"});
        let asked =
            relay_one_request(&client, (era, to), "ask_url", "elicitation/create", &said).await;
        let (params, own, heard) = asked;
        let mut expected = json!({"mode": "url", "url": "https://login.example/connect",
            "message": format!("[{}] (login.example) Sign in", server_id(to))});
        match (era, to) {
            (Era::Legacy, Era::Legacy) => expected["elicitationId"] = json!("e-9"),
            // A modern server sends no elicitation id, and a legacy client needs one.
            (Era::Legacy, Era::Modern) => expected["elicitationId"] = own,
            (Era::Modern, Era::Legacy | Era::Modern) => {}
        }
        assert_eq!(params, expected, "{era:?} {to:?}");
        assert_eq!(heard, said, "{era:?} {to:?}");
        assert_eq!(declared_capabilities(&rig, to), can, "{era:?} {to:?}");
        let declines = json!({"action": "decline"});
        let asked = relay_one_request(
            &client,
            (era, to),
            "ask_url",
            "elicitation/create",
            &declines,
        )
        .await;
        assert_eq!(asked.2, declines, "{era:?} {to:?}");
    }
}

#[tokio::test]
async fn cf_1_url_elicitation_needs_the_url_capability_in_every_era_pair() {
    for can in [
        json!({}),
        json!({"elicitation": {}}),
        json!({"elicitation": {"form": {}}}),
    ] {
        for (era, to) in ERAS.into_iter().flat_map(|era| ERAS.map(|to| (era, to))) {
            let rig = TestRig::start().await;
            let client = client(&rig, era, can.clone()).await;
            assert_not_relayed(&client, era, to, "ask_url").await;
            let declared = declared_capabilities(&rig, to);
            assert!(declared["elicitation"].get("url").is_none(), "{declared}");
        }
    }
}

/// Rig whose servers may request roots.
async fn rig_with_roots() -> TestRig {
    let rig = TestRig::start().await;
    for era in ERAS {
        rig.source.configure(|snapshot| {
            let key = ResourceKey {
                kind: SnapshotResourceKind::Server,
                name: name(server_id(era)),
            };
            let entry = snapshot.entries.get_mut(&key).unwrap();
            let SnapshotResource::Server(mut server) = SnapshotResource::clone(&entry.resource)
            else {
                panic!("no server");
            };
            server.relay.roots = true;
            *entry = SnapshotEntry::new(SnapshotResource::Server(server));
        });
    }
    rig
}

#[tokio::test]
async fn cf_6_roots_are_relayed_in_every_era_pair_if_allowed_and_declared() {
    let said = json!({"roots": [{"uri": "file:///work", "name": "w"}]});
    let (may, without, may_not) = (
        rig_with_roots().await,
        rig_with_roots().await,
        TestRig::start().await,
    );
    for era in ERAS {
        let has = client(&may, era, json!({"roots": {}})).await;
        let none = client(&without, era, json!({"elicitation": {}})).await;
        let barred = client(&may_not, era, json!({"roots": {}})).await;
        for to in ERAS {
            let (_, _, heard) =
                relay_one_request(&has, (era, to), "ask_roots", "roots/list", &said).await;
            assert_eq!(heard, said, "{era:?} {to:?}");
            assert_not_relayed(&none, era, to, "ask_roots").await;
            assert_not_relayed(&barred, era, to, "ask_roots").await;
        }
    }
}
