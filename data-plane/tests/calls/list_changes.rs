//! List change notifications reach only their subscribers, in the form of their era.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use toolgate_model::{
    ResourceKey, Snapshot, SnapshotResource, SnapshotResourceKind, snapshot::SnapshotEntry,
};

use crate::{
    client::{TestClient, TestResponseStream},
    rig::{HANG_GUARD, NARROW_TOKEN, TOKEN, TestRig, eventually, name, slug, within},
};

const ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Removes a tool from the gateway.
fn remove_tool(snapshot: &mut Snapshot, exposed: &str) {
    let key = ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: name("everything"),
    };
    let SnapshotResource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
        panic!("not a gateway");
    };
    let mut gateway = gateway.clone();
    gateway.tools.retain(|tool| tool.exposed != exposed);
    let entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
    snapshot.entries.insert(key, entry);
}

async fn listen(client: &TestClient, id: Value, filter: Value) -> TestResponseStream {
    let message = json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen",
        "params": {"notifications": filter}});
    client.modern(message).await
}

/// Asserts that the first message acknowledges a subscription to tool changes.
async fn assert_acknowledged(stream: &mut TestResponseStream, id: &Value) {
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let first = stream.message().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["notifications"],
        json!({"toolsListChanged": true})
    );
    assert_eq!(&first["params"]["_meta"][ID], id);
}

fn assert_ended(message: &Value, id: &Value) {
    assert_eq!(&message["id"], id, "{message}");
    assert_eq!(message["result"]["resultType"], "complete");
    assert_eq!(&message["result"]["_meta"][ID], id);
}

#[tokio::test]
async fn modern_subscribers_get_requested_changes_within_a_second() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let tools = json!({"toolsListChanged": true});
    let (text, number) = (json!("sub-1"), json!(1));
    let mut one = listen(&client, text.clone(), tools.clone()).await;
    let mut two = listen(&client, number.clone(), tools.clone()).await;
    assert_acknowledged(&mut one, &text).await;
    assert_acknowledged(&mut two, &number).await;
    let narrow = rig.client_with("everything", NARROW_TOKEN);
    let mut blind = listen(&narrow, json!(2), tools).await;
    assert_acknowledged(&mut blind, &json!(2)).await;
    let began = Instant::now();
    rig.source
        .configure(|snapshot| remove_tool(snapshot, "old__fail"));
    for (stream, id) in [(&mut one, &text), (&mut two, &number)] {
        let told = stream.message().await.unwrap();
        assert_eq!(told["method"], "notifications/tools/list_changed");
        assert_eq!(&told["params"]["_meta"][ID], id);
    }
    // Told at all, and before anything else is: the second is asserted by `make drill`.
    assert!(began.elapsed() < within(Duration::from_secs(1)));
    // Of what it may not see, the other one hears nothing; then its token goes.
    rig.source.revoke(NARROW_TOKEN);
    assert_ended(&blind.message().await.unwrap(), &json!(2));
    assert!(blind.message().await.is_none());
    rig.source.configure(|snapshot| {
        let kind = SnapshotResourceKind::Gateway;
        let name = name("everything");
        snapshot.entries.remove(&ResourceKey { kind, name });
    });
    assert_ended(&one.message().await.unwrap(), &text);
    assert!(one.message().await.is_none());
    assert_ended(&two.message().await.unwrap(), &number);
}

#[tokio::test]
async fn a_listen_without_a_filter_is_rejected_and_an_empty_filter_is_accepted() {
    let rig = TestRig::start().await;
    let client = rig.client();
    let message =
        json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {}});
    let refused = client.modern(message).await.whole().await;
    assert_eq!(refused.code(), -32602);
    let strange = json!({"taskIds": ["x"]});
    let mut stream = listen(&client, json!(3), strange).await;
    let first = stream.message().await.unwrap();
    assert_eq!(first["params"]["notifications"], json!({}));
}

#[tokio::test]
async fn a_drain_answers_the_listen_request_and_disconnected_subscribers_are_removed() {
    let mut rig = TestRig::start().await;
    let client = rig.client();
    let tools = json!({"toolsListChanged": true});
    let left = listen(&client, json!(1), tools.clone()).await;
    let mut stays = listen(&client, json!(2), tools).await;
    assert_acknowledged(&mut stays, &json!(2)).await;
    let shown = |count: usize| format!("toolgate_subscriptions {count}");
    let metrics = rig.metrics.clone();
    assert!(metrics.render().contains(&shown(2)));
    drop(left);
    eventually("one is forgotten", || metrics.render().contains(&shown(1))).await;
    let trigger = rig.trigger.take().unwrap();
    let drained = tokio::spawn(trigger.drain(HANG_GUARD));
    assert_ended(&stays.message().await.unwrap(), &json!(2));
    assert!(stays.message().await.is_none());
    let outcome = drained.await.unwrap();
    assert_eq!(outcome, toolgate_runtime::DrainOutcome::Drained);
}

#[tokio::test]
async fn legacy_clients_are_notified_on_their_session_stream() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    let answer = client.initialize().await;
    assert_eq!(
        answer["result"]["capabilities"]["tools"]["listChanged"],
        true
    );
    let session = client.session.clone().unwrap();
    let named = [
        ("mcp-session-id", &*session),
        ("accept", "text/event-stream"),
    ];
    let mut stream = client.raw(Method::GET, &named, "").await;
    let began = Instant::now();
    rig.source
        .configure(|snapshot| remove_tool(snapshot, "new__fail"));
    let told = stream.message().await.unwrap();
    assert_eq!(
        told,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    // Told at all, and before anything else is: the second is asserted by `make drill`.
    assert!(began.elapsed() < within(Duration::from_secs(1)));
    // The token may go elsewhere only: nothing is served to it here any more.
    rig.source.configure(|snapshot| {
        snapshot.entries.update_each(|_key, entry| {
            if let SnapshotResource::Token(token) = &*entry.resource {
                let mut token = token.clone();
                token.gateways = toolgate_model::AllowList::of(vec![slug("other")]);
                *entry = SnapshotEntry::new(SnapshotResource::Token(token));
            }
        });
    });
    assert!(stream.message().await.is_none());
    assert_eq!(client.token, TOKEN);
}
