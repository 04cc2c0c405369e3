//! Names that clients choose create no series of metrics.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use toolgate_model::Era;

use crate::{
    client::TestClient,
    rig::{TOKEN, TestRig, sized},
};

/// Sets of labels of all series in a scrape, without their values.
fn series(rig: &TestRig) -> BTreeSet<String> {
    let scrape = rig.metrics.render();
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    let labels = lines.filter_map(|line| line.rsplit_once(' '));
    labels.map(|(labels, _value)| labels.to_owned()).collect()
}

/// Posts the text as it is, with a name of the client program and of the method in headers.
async fn post(client: &TestClient, name: &str, body: &str) {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("user-agent", name),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", name),
    ];
    let sent = client.raw(Method::POST, &headers, body).await;
    sent.whole().await;
}

/// Sends requests with this name in each place that a client can put a name in.
async fn send_named(rig: &TestRig, legacy: &TestClient, name: &str) {
    let request = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": name, "method": method, "params": params});
    let own = rig.client();
    for era in [Era::Legacy, Era::Modern] {
        let client = if era == Era::Legacy { legacy } else { &own };
        for message in [
            request(name, json!({})),
            request("tools/call", json!({"name": name, "arguments": {}})),
            request("prompts/get", json!({"name": name})),
            request("resources/read", json!({"uri": format!("memo:{name}")})),
            request("tools/list", json!({"cursor": name})),
        ] {
            client.ask(era, message).await.whole().await;
        }
    }
    let mut versioned = rig.client();
    versioned.version = name.to_owned();
    versioned.session = Some(name.to_owned());
    let list = request("tools/list", json!({}));
    versioned.legacy(list.clone()).await.whole().await;
    let opening = request(
        "initialize",
        json!({"protocolVersion": name, "capabilities": {}, "clientInfo": {"name": name, "version": name}}),
    );
    rig.client().legacy(opening).await.whole().await;
    post(&own, name, &list.to_string()).await;
    post(&own, name, name).await;
    let elsewhere = rig.client_with(name, TOKEN);
    elsewhere.modern(list.clone()).await.whole().await;
    let unknown = rig.client_with("everything", &format!("archestra_{name}"));
    unknown.modern(list).await.whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn se_07_names_that_clients_choose_create_no_series() {
    let rig = TestRig::start().await;
    let mut legacy = rig.client();
    legacy.initialize().await;
    for number in 0..3 {
        send_named(&rig, &legacy, &format!("first-{number}")).await;
    }
    let before = series(&rig);
    assert!(before.iter().any(|labels| labels.contains("_OTHER")));
    for number in 0..sized(100, 7_000) {
        send_named(&rig, &legacy, &format!("name-{number}")).await;
    }
    let after = series(&rig);
    let added: Vec<_> = after.difference(&before).collect();
    assert!(added.is_empty(), "{added:#?}");
}
