//! Two organizations on one proxy. All objects of the second one hold a canary, and it calls its tools meanwhile. Nothing that
//! the first one gets holds the canary: no list, page, error, header or notification. Metrics, which are for operators of the
//! deployment, hold the names of gateways, servers and tools and nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::Method;
use serde_json::{Value, json};
use toolgate_model::{
    Definition, Digest, Era, ObjectName, ResourceKey, Slug, Snapshot, SnapshotResource,
    SnapshotResourceKind,
    snapshot::{
        DefinitionsResource, ExposedPrompt, ExposedTool, GatewayResource, ServerResource,
        SnapshotEntry,
    },
};

use crate::{
    client::{TestClient, TestResponse, TestResponseStream},
    rig::{TOKEN, TestRig, eventually, sized, slug},
};

const CANARY: &str = "canary-5b1c";
const RIVAL_TOKEN: &str = "archestra_of-the-rival-canary-5b1c";
/// Exposed name of the tool of the second organization.
const RIVAL_TOOL: &str = "rival-tool-7d20";
/// Id of the gateway of the second organization; callers of the first one may guess it.
const RIVAL_GATEWAY: &str = "rivals";

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn rival(id: &str) -> ObjectName {
    ObjectName::new(slug("rival"), slug(id))
}

fn definition(key: &str, value: &str) -> Definition {
    let mut json = json!({"name": format!("{CANARY}-name"), "description": CANARY});
    json[key] = json!(value);
    if key == "name" {
        json["inputSchema"] = json!({"type": "object"});
    }
    let json = json.to_string();
    Definition {
        name: value.to_owned(),
        digest: Digest::of_bytes(json.as_bytes()),
        json: json.into(),
    }
}

/// Adds the second organization: a server with the address of the modern one, a gateway, and what the server offers.
fn add_rival(snapshot: &mut Snapshot) {
    let key = |kind, name| ResourceKey { kind, name };
    let of_first = key(
        SnapshotResourceKind::Server,
        ObjectName::new(slug("default"), slug("new")),
    );
    let SnapshotResource::Server(server) = &*snapshot.entries.get(&of_first).unwrap().resource
    else {
        panic!("no server");
    };
    let server = ServerResource::clone(server);
    let (tool, prompt) = (definition("name", "echo"), definition("name", "greet"));
    let offered = DefinitionsResource {
        tools: vec![tool.clone()],
        prompts: vec![prompt.clone()],
        resources: vec![definition("uri", &format!("memo:{CANARY}"))],
        templates: vec![definition("uriTemplate", &format!("{CANARY}://{{id}}"))],
        instructions: CANARY.to_owned(),
        capabilities: json!({"tools": {}, "prompts": {}, "resources": {}}).to_string(),
    };
    let id: Slug = slug("rival-server");
    let gateway = GatewayResource {
        display_name: CANARY.to_owned(),
        instructions: CANARY.to_owned(),
        tools: vec![ExposedTool {
            exposed: RIVAL_TOOL.to_owned(),
            server: id.clone(),
            original: "echo".to_owned(),
            digest: tool.digest,
            shape: None,
        }],
        prompts: vec![ExposedPrompt {
            exposed: format!("{CANARY}-prompt"),
            server: id.clone(),
            original: "greet".to_owned(),
            digest: prompt.digest,
        }],
        resources: vec![id.clone()],
        servers: vec![id],
        ..GatewayResource::default()
    };
    for (kind, id, resource) in [
        (
            SnapshotResourceKind::Server,
            "rival-server",
            SnapshotResource::Server(server),
        ),
        (
            SnapshotResourceKind::Catalogue,
            "rival-server",
            SnapshotResource::Catalogue(offered),
        ),
        (
            SnapshotResourceKind::Gateway,
            RIVAL_GATEWAY,
            SnapshotResource::Gateway(gateway),
        ),
    ] {
        let entry = SnapshotEntry::new(resource);
        snapshot.entries.insert(key(kind, rival(id)), entry);
    }
}

/// Asserts that body and headers hold neither a canary nor the tool.
fn assert_clean(answer: &TestResponse, what: &str) {
    let all = format!("{:?} {}", answer.headers, answer.text);
    let shown = [CANARY, RIVAL_TOOL].iter().any(|text| all.contains(text));
    assert!(!shown, "{what}: {answer:?}");
}

/// Requests of the first organization: everything that is its own, and guesses at what is not.
fn requests() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("tools/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        (
            "tools/call",
            json!({"name": "new__echo", "arguments": {"text": "mine"}}),
        ),
        (
            "tools/call",
            json!({"name": "old__echo", "arguments": {"text": "mine"}}),
        ),
        (
            "tools/call",
            json!({"name": "new__error", "arguments": {"text": "mine"}}),
        ),
        (
            "tools/call",
            json!({"name": "old__nothing", "arguments": {}}),
        ),
        (
            "prompts/get",
            json!({"name": "new__greet", "arguments": {"who": "me"}}),
        ),
        ("resources/read", json!({"uri": "memo:today"})),
    ];
    for guessed in [
        "echo",
        "rival-server__echo",
        "rival__echo",
        "new__greet",
        "rival-tool",
    ] {
        all.push(("tools/call", json!({"name": guessed, "arguments": {}})));
        all.push(("prompts/get", json!({"name": guessed})));
        all.push(("resources/read", json!({"uri": format!("memo:{guessed}")})));
    }
    all
}

/// Sends all requests in both eras, to the own gateway and to that of the second organization. Returns their number.
async fn crawl(own: &TestClient, foreign: &TestClient, cursors: &[Value]) -> usize {
    let mut asked = 0;
    let mut all = requests();
    for cursor in cursors {
        for list in ["tools/list", "prompts/list", "resources/list"] {
            all.push((list, json!({"cursor": cursor})));
        }
    }
    for (method, params) in all {
        for era in ERAS {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            for (client, is_own) in [(own, true), (foreign, false)] {
                let answer = client.ask(era, message.clone()).await.whole().await;
                assert_clean(&answer, &format!("{era:?} {message}"));
                assert!(is_own || answer.status == 404, "{message}: {answer:?}");
                asked += 1;
            }
        }
    }
    for client in [own, foreign] {
        for (method, headers) in [
            (Method::PUT, vec![]),
            (Method::GET, vec![("accept", "text/event-stream")]),
            (Method::POST, vec![("content-type", "text/plain")]),
        ] {
            let answer = client.raw(method.clone(), &headers, CANARY).await;
            assert_clean(&answer.whole().await, method.as_str());
            asked += 1;
        }
    }
    asked
}

/// Calls of the second organization, whose results hold the canary. Returns their number.
async fn call_as_rival(client: TestClient, ended: Arc<AtomicBool>) -> usize {
    let mut called = 0;
    while !ended.load(Ordering::Relaxed) {
        let answer = client.call(Era::Modern, json!(1), RIVAL_TOOL, CANARY);
        let answer = answer.await;
        let answer = answer.whole().await;
        assert!(answer.text.contains(CANARY), "{answer:?}");
        called += 1;
    }
    called
}

#[tokio::test(flavor = "multi_thread")]
async fn ti_02_nothing_of_another_organization_is_in_responses_headers_or_metrics() {
    let rig = TestRig::start().await;
    rig.source.configure(add_rival);
    rig.add_token(rival("token"), RIVAL_TOKEN, |_| {});
    let mut rival = rig.client_with(RIVAL_GATEWAY, RIVAL_TOKEN);
    let opened = rival.initialize().await;
    assert!(opened.to_string().contains(CANARY), "{opened}");
    let listed = rival.ask(
        Era::Legacy,
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
    );
    let listed = listed.await.whole().await;
    assert!(listed.text.contains(CANARY), "{listed:?}");
    let mut own = rig.client();
    own.initialize().await;
    let mut foreign = rig.client_with(RIVAL_GATEWAY, TOKEN);
    foreign.session.clone_from(&rival.session);
    let ended = Arc::new(AtomicBool::new(false));
    let calls = tokio::spawn(call_as_rival(rival.clone(), Arc::clone(&ended)));
    let cursors = [json!("AAAA"), json!("canary"), json!(rival.session)];
    let mut asked = 0;
    while asked < sized(1_000, 100_000) {
        asked += crawl(&own, &foreign, &cursors).await;
    }
    // A session of the second organization gives no access to its gateway either.
    own.session.clone_from(&rival.session);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let answer = own.legacy(message).await.whole().await;
    assert_eq!(answer.status, 404);
    assert_clean(&answer, "a session of another organization");
    ended.store(true, Ordering::Relaxed);
    assert!(calls.await.unwrap() > 10);
    let metrics = rig.metrics.render();
    assert!(metrics.contains("toolgate_refusals_total"), "{metrics}");
    assert!(
        metrics.contains(RIVAL_GATEWAY),
        "its calls are measured: {metrics}"
    );
    assert!(!metrics.contains(CANARY), "{metrics}");
}

/// Removes everything of the first organization, as the push after its deletion does.
fn remove_first(snapshot: &mut Snapshot) {
    let is_first = |key: &&ResourceKey| key.name.org == slug("default");
    let keys: Vec<ResourceKey> = snapshot.entries.keys().filter(is_first).cloned().collect();
    assert!(keys.len() > 5);
    for key in keys {
        snapshot.entries.remove(&key);
    }
}

/// Reads a stream to its end.
async fn read_to_end(mut stream: TestResponseStream) {
    while stream.message().await.is_some() {}
}

/// A session stream, a feed and a call that waits for its server end with their organization. Its tokens are refused, the
/// sessions with its servers are ended, and the other organization goes on.
#[tokio::test(flavor = "multi_thread")]
async fn ti_12_nothing_of_a_deleted_organization_stays_open_and_others_go_on() {
    let rig = TestRig::start().await;
    rig.source.configure(add_rival);
    rig.add_token(rival("token"), RIVAL_TOKEN, |_| {});
    let mut own = rig.client();
    own.initialize().await;
    let session = own.session.clone().unwrap();
    let headers = [
        ("mcp-session-id", &*session),
        ("accept", "text/event-stream"),
    ];
    let session_stream = own.raw(Method::GET, &headers, "").await;
    assert_eq!(session_stream.status, 200);
    let listen = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
        "params": {"notifications": {"toolsListChanged": true}}});
    let mut feed = own.modern(listen).await;
    assert!(feed.message().await.is_some());
    let waiting = {
        let own = own.clone();
        tokio::spawn(async move {
            let called = own.call(Era::Legacy, json!(1), "old__silent", "x").await;
            called.whole().await
        })
    };
    eventually("the call is at its server", || {
        rig.legacy.calls("silent") == 1
    })
    .await;
    let foreign = rig.client_with(RIVAL_GATEWAY, RIVAL_TOKEN);
    let ended = Arc::new(AtomicBool::new(false));
    let calls = tokio::spawn(call_as_rival(foreign, Arc::clone(&ended)));

    rig.source.configure(remove_first);
    read_to_end(session_stream).await;
    read_to_end(feed).await;
    let answer = waiting.await.unwrap();
    assert!(
        !answer
            .text
            .contains("\"content\":[{\"type\":\"text\",\"text\":\"x\"}]"),
        "{answer:?}"
    );
    for era in ERAS {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let answer = own.ask(era, message).await.whole().await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    eventually("the sessions with servers are ended", || {
        let seen = rig.legacy.seen.lock().unwrap();
        seen.opened > 0 && seen.deleted == seen.opened
    })
    .await;
    ended.store(true, Ordering::Relaxed);
    assert!(calls.await.unwrap() > 0);
}
