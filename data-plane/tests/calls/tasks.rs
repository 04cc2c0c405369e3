//! Tasks of modern servers followed with `subscriptions/listen`: notifications reach the owner under its own task id
//! while it has access.

use http::Response;
use serde_json::{Value, json};
use toolgate_model::{
    AllowList, Era, SnapshotResource, SnapshotResourceKind, snapshot::SnapshotEntry,
};

use crate::{
    client::{TestClient, TestResponseStream},
    rig::{NARROW_TOKEN, TestRig, eventually, name},
    server::{FakeResponseBody, FakeServer, answer},
};

/// Result of a call that becomes a task with its argument as the task id.
pub fn task_result(message: &Value) -> Response<FakeResponseBody> {
    let id = message["params"]["arguments"]["text"].clone();
    answer(
        message,
        &json!({"resultType": "task", "taskId": id, "status": "working", "ttlMs": null}),
    )
}

/// Sends a task notification with this status.
fn notify_task(server: &FakeServer, id: &str, status: &str) {
    let params = json!({"taskId": id, "status": status, "ttlMs": null});
    let told = json!({"jsonrpc": "2.0", "method": "notifications/tasks", "params": params});
    drop(server.feeds.send(told));
}

/// Rig whose modern server supports tasks.
async fn rig() -> TestRig {
    let rig = TestRig::start().await;
    let extensions = json!({"io.modelcontextprotocol/tasks": {}});
    rig.source.configure(|snapshot| {
        snapshot.entries.update_each(|key, entry| {
            if let SnapshotResource::Catalogue(catalogue) = &*entry.resource
                && key.name == name("new")
            {
                let mut catalogue = catalogue.clone();
                let capabilities = json!({"tools": {}, "extensions": extensions});
                catalogue.capabilities = capabilities.to_string();
                *entry = SnapshotEntry::new(SnapshotResource::Catalogue(catalogue));
            }
        });
    });
    rig
}

fn with_tasks_capability(mut client: TestClient) -> TestClient {
    client.capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    client
}

/// Starts a task with this upstream id and returns the id that the client gets.
async fn start_task(client: &TestClient, original: &str) -> String {
    let told = client
        .call(Era::Modern, json!(1), "new__task", original)
        .await;
    let told = told.whole().await.json();
    let id = told["result"]["taskId"].as_str();
    id.unwrap_or_else(|| panic!("{told}")).to_owned()
}

/// Subscribes to these tasks; returns the stream and the accepted ids.
async fn listen(client: &TestClient, tasks: &[&str]) -> (TestResponseStream, Value) {
    let message = json!({"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen",
        "params": {"notifications": {"taskIds": tasks}}});
    let mut stream = client.modern(message).await;
    let first = stream.message().await.unwrap();
    (stream, first["params"]["notifications"]["taskIds"].clone())
}

#[tokio::test]
async fn tk_6_task_notifications_reach_their_owner_under_its_id() {
    let rig = rig().await;
    let client = with_tasks_capability(rig.client());
    let (one, other) = (
        start_task(&client, "t-1").await,
        start_task(&client, "t-2").await,
    );
    let secret = start_task(&client, "t-secret").await;
    let (mut stream, agreed) = listen(&client, &[&one, &secret, "forged"]).await;
    assert_eq!(
        agreed,
        json!([one]),
        "what its server agrees to, and what is known"
    );
    let (_, asked) = rig.modern.last("subscriptions/listen").unwrap();
    let params = &asked["params"];
    let declared = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"];
    assert_eq!(*declared, json!({"io.modelcontextprotocol/tasks": {}}));
    let asked = params["notifications"]["taskIds"].as_array().unwrap();
    assert!(
        asked.contains(&json!("t-1")),
        "by the server's own id: {params}"
    );
    notify_task(&rig.modern, "t-2", "completed");
    notify_task(&rig.modern, "t-1", "working");
    let told = stream.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tasks");
    let meta = json!({"io.modelcontextprotocol/subscriptionId": "l"});
    let params = json!({"taskId": one, "status": "working", "ttlMs": null, "_meta": meta});
    assert_eq!(told["params"], params);
    // Several notifications are coalesced into the latest one.
    notify_task(&rig.modern, "t-1", "input_required");
    notify_task(&rig.modern, "t-1", "completed");
    let last = stream.message().await.unwrap();
    assert_eq!(last["params"]["status"], "completed");
    let (_second, agreed) = listen(&client, &[&other]).await;
    assert_eq!(agreed, json!([other]));
}

#[tokio::test]
async fn mc_14_task_notifications_reach_only_their_owner() {
    let rig = rig().await;
    let client = with_tasks_capability(rig.client());
    let id = start_task(&client, "t-1").await;
    let (_stream, agreed) = listen(
        &with_tasks_capability(rig.client_with("everything", NARROW_TOKEN)),
        &[&id],
    )
    .await;
    assert_eq!(agreed, Value::Null);
    let (_stream, agreed) = listen(
        &with_tasks_capability(rig.client_with("other", &client.token)),
        &[&id],
    )
    .await;
    assert_eq!(agreed, Value::Null, "at another gateway");
    let (_stream, agreed) = listen(&rig.client(), &[&id]).await;
    assert_eq!(agreed, Value::Null, "tasks mean nothing to them");
    assert!(
        rig.modern.last("subscriptions/listen").is_none(),
        "its server was not asked"
    );
}

#[tokio::test]
async fn task_notifications_stop_when_the_tool_is_no_longer_granted() {
    let rig = rig().await;
    let client = with_tasks_capability(rig.client());
    let id = start_task(&client, "t-1").await;
    let (mut stream, agreed) = listen(&client, &[&id]).await;
    assert_eq!(agreed, json!([id]));
    rig.source.configure(|snapshot| {
        snapshot.entries.update_each(|key, entry| {
            if let SnapshotResource::Token(token) = &*entry.resource
                && (key.kind, &key.name) == (SnapshotResourceKind::Token, &name("wide"))
            {
                let mut token = token.clone();
                token.tools = AllowList::of(vec!["new__echo".to_owned()]);
                *entry = SnapshotEntry::new(SnapshotResource::Token(token));
            }
        });
    });
    eventually("the feed is let go of", || rig.modern.open_feeds() == 0).await;
    notify_task(&rig.modern, "t-1", "completed");
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(700), stream.message());
    assert!(quiet.await.is_err(), "it is not told");
}

/// Enables or disables elicitation in the relay policy of the server while clients listen.
fn set_elicitation_relay(rig: &TestRig, elicitation: bool) {
    rig.source.configure(|snapshot| {
        snapshot.entries.update_each(|key, entry| {
            if let SnapshotResource::Server(server) = &*entry.resource
                && key.name == name("new")
            {
                let mut server = server.clone();
                server.relay.elicitation = elicitation;
                *entry = SnapshotEntry::new(SnapshotResource::Server(server));
            }
        });
    });
}

/// Sends a task notification with an input request.
fn notify_input_required(server: &FakeServer, id: &str) {
    let form =
        json!({"message": "Go on?", "requestedSchema": {"type": "object", "properties": {}}});
    let params = json!({"taskId": id, "status": "input_required", "ttlMs": null,
        "inputRequests": {"k": {"method": "elicitation/create", "params": form}}});
    let told = json!({"jsonrpc": "2.0", "method": "notifications/tasks", "params": params});
    drop(server.feeds.send(told));
}

#[tokio::test]
async fn input_requests_of_a_task_are_hidden_once_relaying_is_disabled() {
    let rig = rig().await;
    set_elicitation_relay(&rig, true);
    let mut client = with_tasks_capability(rig.client());
    client.capabilities["elicitation"] = json!({});
    let id = start_task(&client, "t-1").await;
    let (mut stream, agreed) = listen(&client, &[&id]).await;
    assert_eq!(agreed, json!([id]));
    notify_input_required(&rig.modern, "t-1");
    let told = stream.message().await.unwrap();
    let asked = &told["params"]["inputRequests"]["k"]["params"]["message"];
    assert_eq!(*asked, "[new] Go on?", "{told}");
    let feeds = rig.modern.listen_count();
    set_elicitation_relay(&rig, false);
    eventually("the feed of the server as it is now", || {
        rig.modern.listen_count() > feeds && rig.modern.open_feeds() == 1
    })
    .await;
    notify_input_required(&rig.modern, "t-1");
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(700), stream.message());
    let told = quiet.await;
    assert!(told.is_err(), "it is told: {told:?}");
    notify_task(&rig.modern, "t-1", "working");
    let told = stream.message().await.unwrap();
    assert_eq!(told["params"]["status"], "working", "{told}");
    assert_eq!(told["params"].get("inputRequests"), None, "{told}");
}
