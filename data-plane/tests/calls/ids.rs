//! Ids of clients: a number is no string, and no number is rounded.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate_model::Era;

use crate::rig::{Rig, exposed};

#[tokio::test]
async fn one_and_the_string_one_are_two_requests_and_large_numbers_stay_apart() {
    let rig = Rig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let large = 1_u64 << 53;
    let ids = [
        json!(1),
        json!("1"),
        json!(large),
        json!(large + 1),
        json!(large.to_string()),
        json!(-1),
    ];
    for era in [Era::Legacy, Era::Modern] {
        let tool = exposed(era, "slow");
        let mut streams = Vec::new();
        for id in &ids {
            let mut stream = client.call(Era::Legacy, id.clone(), &tool, "x").await;
            let first = stream.message().await.unwrap();
            assert_eq!(first["method"], "notifications/progress", "{id}: {first}");
            streams.push(stream);
        }
        let taken = client.call(Era::Legacy, json!("1"), &tool, "x").await;
        let taken = taken.whole().await;
        assert_eq!((taken.code(), &taken.json()["id"]), (-32600, &json!("1")));
        for at in [1, 2] {
            let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": {"requestId": ids[at]}});
            let accepted = client.legacy(cancel).await.whole().await;
            assert_eq!(accepted.status, 202);
            assert_eq!(streams[at].message().await, None, "{}", ids[at]);
        }
        for at in [0, 3, 4, 5] {
            let more = streams[at].message();
            let more = tokio::time::timeout(Duration::from_millis(100), more).await;
            assert!(more.is_err(), "{} goes on", ids[at]);
        }
        drop(streams);
        for id in ids.iter().filter(|id| !taken_back(id)) {
            let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": {"requestId": id}});
            client.legacy(cancel).await.whole().await;
        }
    }
}

/// One of those that were cancelled first.
fn taken_back(id: &Value) -> bool {
    *id == json!("1") || *id == json!(1_u64 << 53)
}
