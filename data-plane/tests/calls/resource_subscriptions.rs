//! Resource updates in every era pair: one feed per server, forwarded to subscribers under the client's URIs.

use http::Method;
use serde_json::{Value, json};
use toolgate_data_plane::DataPlaneOptions;
use toolgate_model::{
    CallTimeouts, Era, ResourceKey, SnapshotResource, SnapshotResourceKind, UriMode,
    snapshot::SnapshotEntry,
};

use crate::{
    client::{TestClient, TestResponseStream},
    fake_feeds::SECRET_URI,
    rig::{TestRig, eventually, name, slug},
};

const BOTH: [(Era, &str); 2] = [(Era::Legacy, "old"), (Era::Modern, "new")];

async fn rig() -> TestRig {
    rig_with(|_| {}).await
}

/// Rig whose servers support resource subscriptions.
pub async fn rig_with(change: impl FnOnce(&mut DataPlaneOptions)) -> TestRig {
    let rig = TestRig::with(change, CallTimeouts::default()).await;
    rig.source.configure(|snapshot| {
        snapshot
            .entries
            .update_each(|key, entry| match &*entry.resource {
                SnapshotResource::Catalogue(catalogue) if key.name != name("gone") => {
                    let mut catalogue = catalogue.clone();
                    catalogue.capabilities =
                        json!({"tools": {}, "resources": {"subscribe": true}}).to_string();
                    *entry = SnapshotEntry::new(SnapshotResource::Catalogue(catalogue));
                }
                SnapshotResource::Gateway(gateway) => {
                    let mut gateway = gateway.clone();
                    gateway.resources = vec![slug("old"), slug("new")];
                    gateway.uris = UriMode::Prefixed;
                    *entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
                }
                SnapshotResource::Catalogue(_)
                | SnapshotResource::Server(_)
                | SnapshotResource::Token(_) => {}
            });
    });
    rig
}

pub async fn subscribe(client: &TestClient, method: &str, uri: &str) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": {"uri": uri}});
    client.legacy(message).await.whole().await.json()
}

async fn listen(client: &TestClient, id: i32, uris: &[&str]) -> TestResponseStream {
    let message = json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen",
        "params": {"notifications": {"resourceSubscriptions": uris}}});
    client.modern(message).await
}

/// Opens a session and its stream.
async fn open_session_stream(client: &mut TestClient) -> (Value, TestResponseStream) {
    let answer = client.initialize().await;
    let session = client.session.clone().unwrap();
    let named = [
        ("mcp-session-id", &*session),
        ("accept", "text/event-stream"),
    ];
    (answer, client.raw(Method::GET, &named, "").await)
}

#[tokio::test]
async fn legacy_clients_subscribe_to_resources_of_both_eras() {
    let rig = rig().await;
    let mut client = rig.client();
    let (answer, mut stream) = open_session_stream(&mut client).await;
    let resources = &answer["result"]["capabilities"]["resources"];
    assert_eq!(resources, &json!({"listChanged": true, "subscribe": true}));
    for (era, server) in BOTH {
        let uri = format!("{server}+test://a");
        let done = subscribe(&client, "resources/subscribe", &uri).await;
        assert_eq!(done["result"], json!({}), "{done}");
        assert_eq!(rig.server(era).open_feeds(), 1);
        rig.server(era).update("test://other");
        rig.server(era).update("test://a/part");
        let told = stream.message().await.unwrap();
        assert_eq!(told["method"], "notifications/resources/updated");
        assert_eq!(told["params"], json!({"uri": format!("{uri}/part")}));
        let secret = format!("{server}+{SECRET_URI}");
        let refused = subscribe(&client, "resources/subscribe", &secret).await;
        assert!(refused["error"]["code"].is_number(), "{refused}");
        let done = subscribe(&client, "resources/unsubscribe", &uri).await;
        assert_eq!(done["result"], json!({}));
        eventually("the feed ends", || rig.server(era).open_feeds() == 0).await;
    }
    assert_eq!(rig.legacy.asked("resources/subscribe", "test://a"), 1);
    eventually("the legacy server is told", || {
        rig.legacy.asked("resources/unsubscribe", "test://a") == 1
    })
    .await;
    let unknown = subscribe(&client, "resources/subscribe", "who+test://a").await;
    assert_eq!(unknown["error"]["code"], -32002);
}

#[tokio::test]
async fn modern_clients_share_one_feed_and_are_notified_under_their_own_ids() {
    let rig = rig().await;
    let client = rig.client();
    for (era, server) in BOTH {
        let (a, secret) = (
            format!("{server}+test://a"),
            format!("{server}+{SECRET_URI}"),
        );
        let mut one = listen(&client, 1, &[&a, &secret, "who+test://a"]).await;
        let first = one.message().await.unwrap();
        assert_eq!(
            first["params"]["notifications"],
            json!({"resourceSubscriptions": [a]})
        );
        let mut two = listen(&client, 2, &[&a]).await;
        two.message().await.unwrap();
        // A replaced feed ends when its server notices that the connection is closed.
        let shared = || rig.server(era).open_feeds() == 1;
        eventually("one feed for both", shared).await;
        rig.server(era).update("test://a");
        for (stream, id) in [(&mut one, 1), (&mut two, 2)] {
            let told = stream.message().await.unwrap();
            assert_eq!(told["params"]["uri"], json!(a));
            let meta = &told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
            assert_eq!(meta, &json!(id));
        }
        // After a reconnect every subscribed resource is notified, since updates may have been missed.
        rig.server(era).end_feeds();
        assert_eq!(one.message().await.unwrap()["params"]["uri"], json!(a));
        eventually("one feed again", shared).await;
        drop((one, two));
        eventually("the last one to leave ends it", || {
            rig.server(era).open_feeds() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn updates_stop_when_the_resource_is_no_longer_readable() {
    let rig = rig().await;
    let client = rig.client();
    let mut stream = listen(&client, 1, &["old+test://a", "new+test://a"]).await;
    stream.message().await.unwrap();
    rig.source.configure(|snapshot| {
        let kind = SnapshotResourceKind::Gateway;
        let key = ResourceKey {
            kind,
            name: name("everything"),
        };
        let entry = snapshot.entries.get_mut(&key).unwrap();
        let SnapshotResource::Gateway(gateway) = &*entry.resource else {
            panic!("not a gateway");
        };
        let mut gateway = gateway.clone();
        gateway.resources = vec![slug("new")];
        *entry = SnapshotEntry::new(SnapshotResource::Gateway(gateway));
    });
    eventually("its feed ends", || rig.legacy.open_feeds() == 0).await;
    rig.legacy.update("test://a");
    rig.modern.update("test://a");
    let told = stream.message().await.unwrap();
    assert_eq!(told["params"]["uri"], "new+test://a");
}
