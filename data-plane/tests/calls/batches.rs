//! JSON-RPC batches, which exist only in sessions of 2025-03-26.

use serde_json::{Value, json};
use toolgate_data_plane::DataPlaneOptions;
use toolgate_model::{Era, Timestamp};
use toolgate_runtime::ManualClock;

use crate::rig::{TestRig, exposed};

fn call(id: u32, era: Era, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": exposed(era, "echo"), "arguments": {"text": text},
    }})
}

#[tokio::test]
async fn a_batch_is_answered_in_one_array() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.version = "2025-03-26".to_owned();
    client.initialize().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "p", "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}},
        call(1, Era::Legacy, "one"),
        call(2, Era::Modern, "two"),
        {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}},
        {"jsonrpc": "2.0", "id": 4, "method": "tools/unknown"},
        7,
    ]);
    let answer = client.legacy(batch).await.whole().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answers = answer.json();
    let ids: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    let null = Value::Null;
    assert_eq!(
        ids,
        [
            &json!("p"),
            &json!(1),
            &json!(2),
            &json!(3),
            &json!(4),
            &null
        ]
    );
    assert_eq!(answers[0]["result"], json!({}));
    for (at, text) in [(1, "one"), (2, "two")] {
        assert!(
            answers[at]["result"].to_string().contains(text),
            "{answers}"
        );
    }
    let codes: Vec<&Value> = (3..6).map(|at| &answers[at]["error"]["code"]).collect();
    assert_eq!(codes, [-32600, -32601, -32600]);
}

#[tokio::test]
async fn a_batch_counts_towards_the_rate_per_token_by_its_members() {
    let limited = |options: &mut DataPlaneOptions| {
        options.limits.rate_per_token = Some(1);
        options.limits.burst_per_token = 6;
    };
    let clock = ManualClock::new(Timestamp(1_000_000));
    let rig = TestRig::with_options(limited, clock).await;
    let mut client = rig.client();
    client.version = "2025-03-26".to_owned();
    // Two requests.
    client.initialize().await;
    let ping = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let batch: Value = (0..6).map(ping).collect();
    let answers = client.legacy(batch).await.whole().await.json();
    let served = answers.as_array().unwrap().iter();
    let served = served.filter(|it| it["result"].is_object()).count();
    assert_eq!(served, 4, "{answers}");
}

#[tokio::test]
async fn a_batch_without_requests_is_accepted() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.version = "2025-03-26".to_owned();
    client.initialize().await;
    let batch = json!([
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "nobody's", "result": {}},
    ]);
    let answer = client.legacy(batch).await.whole().await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (202, ""));
}

#[tokio::test]
async fn batches_are_rejected_outside_of_2025_03_26_sessions() {
    let rig = TestRig::start().await;
    let ping = json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]);
    for version in ["2025-06-18", "2025-11-25"] {
        let mut client = rig.client();
        client.version = version.to_owned();
        client.initialize().await;
        let refused = client.legacy(ping.clone()).await.whole().await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, -32600));
    }
    let mut client = rig.client();
    // Without a session no version is negotiated.
    assert_eq!(client.legacy(ping.clone()).await.status, 400);
    client.version = "2025-03-26".to_owned();
    client.initialize().await;
    let many = vec![ping[0].clone(); 33];
    for bad in [json!([]), Value::from(many)] {
        let refused = client.legacy(bad).await.whole().await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, -32600));
    }
}
