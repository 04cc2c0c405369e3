//! Tasks of modern servers followed with `subscriptions/listen`: notifications reach the owner under its own task id
//! while it has access.

use http::Response;
use serde_json::{Value, json};
use toolgate_model::{Era, Reach, Resource, ResourceKind, snapshot::Entry};

use crate::{
    client::{Client, Stream},
    rig::{NARROW, Rig, eventually, name},
    server::{Body, FakeServer, answer},
};

/// Result of a call that becomes a task with its argument as the task id.
pub fn started(message: &Value) -> Response<Body> {
    let id = message["params"]["arguments"]["text"].clone();
    answer(
        message,
        &json!({"resultType": "task", "taskId": id, "status": "working", "ttlMs": null}),
    )
}

/// Sends a task notification with this status.
fn news(server: &FakeServer, id: &str, status: &str) {
    let params = json!({"taskId": id, "status": status, "ttlMs": null});
    let told = json!({"jsonrpc": "2.0", "method": "notifications/tasks", "params": params});
    drop(server.feeds.send(told));
}

/// Rig whose modern server supports tasks.
async fn rig() -> Rig {
    let rig = Rig::start().await;
    let extensions = json!({"io.modelcontextprotocol/tasks": {}});
    rig.source.configure(|snapshot| {
        for (key, entry) in &mut snapshot.entries {
            if let Resource::Catalogue(catalogue) = &*entry.resource
                && key.name == name("new")
            {
                let mut catalogue = catalogue.clone();
                let capabilities = json!({"tools": {}, "extensions": extensions});
                catalogue.capabilities = capabilities.to_string();
                *entry = Entry::new(Resource::Catalogue(catalogue));
            }
        }
    });
    rig
}

fn following(mut client: Client) -> Client {
    client.capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    client
}

/// Starts a task with this upstream id and returns the id that the client gets.
async fn task(client: &Client, original: &str) -> String {
    let told = client
        .call(Era::Modern, json!(1), "new__task", original)
        .await;
    let told = told.whole().await.json();
    let id = told["result"]["taskId"].as_str();
    id.unwrap_or_else(|| panic!("{told}")).to_owned()
}

/// Subscribes to these tasks; returns the stream and the accepted ids.
async fn listen(client: &Client, tasks: &[&str]) -> (Stream, Value) {
    let message = json!({"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen",
        "params": {"notifications": {"taskIds": tasks}}});
    let mut stream = client.modern(message).await;
    let first = stream.message().await.unwrap();
    (stream, first["params"]["notifications"]["taskIds"].clone())
}

#[tokio::test]
async fn tk_6_news_of_a_task_reaches_who_has_it_under_their_own_id() {
    let rig = rig().await;
    let client = following(rig.client());
    let (one, other) = (task(&client, "t-1").await, task(&client, "t-2").await);
    let secret = task(&client, "t-secret").await;
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
    news(&rig.modern, "t-2", "completed");
    news(&rig.modern, "t-1", "working");
    let told = stream.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tasks");
    let meta = json!({"io.modelcontextprotocol/subscriptionId": "l"});
    let params = json!({"taskId": one, "status": "working", "ttlMs": null, "_meta": meta});
    assert_eq!(told["params"], params);
    // Several notifications are coalesced into the latest one.
    news(&rig.modern, "t-1", "input_required");
    news(&rig.modern, "t-1", "completed");
    let last = stream.message().await.unwrap();
    assert_eq!(last["params"]["status"], "completed");
    let (_second, agreed) = listen(&client, &[&other]).await;
    assert_eq!(agreed, json!([other]));
}

#[tokio::test]
async fn mc_14_nobody_hears_of_a_task_that_is_not_theirs() {
    let rig = rig().await;
    let client = following(rig.client());
    let id = task(&client, "t-1").await;
    let (_stream, agreed) = listen(&following(rig.client_with("everything", NARROW)), &[&id]).await;
    assert_eq!(agreed, Value::Null);
    let (_stream, agreed) =
        listen(&following(rig.client_with("other", &client.token)), &[&id]).await;
    assert_eq!(agreed, Value::Null, "at another gateway");
    let (_stream, agreed) = listen(&rig.client(), &[&id]).await;
    assert_eq!(agreed, Value::Null, "tasks mean nothing to them");
    assert!(
        rig.modern.last("subscriptions/listen").is_none(),
        "its server was not asked"
    );
}

#[tokio::test]
async fn who_may_no_longer_call_the_tool_hears_no_more_of_its_tasks() {
    let rig = rig().await;
    let client = following(rig.client());
    let id = task(&client, "t-1").await;
    let (mut stream, agreed) = listen(&client, &[&id]).await;
    assert_eq!(agreed, json!([id]));
    rig.source.configure(|snapshot| {
        for (key, entry) in &mut snapshot.entries {
            if let Resource::Token(token) = &*entry.resource
                && (key.kind, &key.name) == (ResourceKind::Token, &name("wide"))
            {
                let mut token = token.clone();
                token.tools = Reach::of(vec!["new__echo".to_owned()]);
                *entry = Entry::new(Resource::Token(token));
            }
        }
    });
    eventually("the feed is let go of", || rig.modern.listeners() == 0).await;
    news(&rig.modern, "t-1", "completed");
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(700), stream.message());
    assert!(quiet.await.is_err(), "it is not told");
}

/// Enables or disables elicitation in the relay policy of the server while clients listen.
fn relay(rig: &Rig, elicitation: bool) {
    rig.source.configure(|snapshot| {
        for (key, entry) in &mut snapshot.entries {
            if let Resource::Server(server) = &*entry.resource
                && key.name == name("new")
            {
                let mut server = server.clone();
                server.relay.elicitation = elicitation;
                *entry = Entry::new(Resource::Server(server));
            }
        }
    });
}

/// Sends a task notification with an input request.
fn asks(server: &FakeServer, id: &str) {
    let form =
        json!({"message": "Go on?", "requestedSchema": {"type": "object", "properties": {}}});
    let params = json!({"taskId": id, "status": "input_required", "ttlMs": null,
        "inputRequests": {"k": {"method": "elicitation/create", "params": form}}});
    let told = json!({"jsonrpc": "2.0", "method": "notifications/tasks", "params": params});
    drop(server.feeds.send(told));
}

#[tokio::test]
async fn what_a_task_asks_is_not_shown_once_the_operator_relays_no_questions() {
    let rig = rig().await;
    relay(&rig, true);
    let mut client = following(rig.client());
    client.capabilities["elicitation"] = json!({});
    let id = task(&client, "t-1").await;
    let (mut stream, agreed) = listen(&client, &[&id]).await;
    assert_eq!(agreed, json!([id]));
    asks(&rig.modern, "t-1");
    let told = stream.message().await.unwrap();
    let asked = &told["params"]["inputRequests"]["k"]["params"]["message"];
    assert_eq!(*asked, "[new] Go on?", "{told}");
    let feeds = rig.modern.fed();
    relay(&rig, false);
    eventually("the feed of the server as it is now", || {
        rig.modern.fed() > feeds && rig.modern.listeners() == 1
    })
    .await;
    asks(&rig.modern, "t-1");
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(700), stream.message());
    let told = quiet.await;
    assert!(told.is_err(), "it is told: {told:?}");
    news(&rig.modern, "t-1", "working");
    let told = stream.message().await.unwrap();
    assert_eq!(told["params"]["status"], "working", "{told}");
    assert_eq!(told["params"].get("inputRequests"), None, "{told}");
}
