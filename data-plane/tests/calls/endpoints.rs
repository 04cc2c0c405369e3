//! Servers with several endpoints: calls go to an endpoint that answers.

use serde_json::json;
use toolgate_model::{Endpoint, EndpointList, Era};

use crate::rig::{TestRig, exposed};

/// Guards against hanging: the circuit of the first endpoint opens after five failures, then pauses for about a second.
const ATTEMPTS: u32 = 600;

/// Adds `url` to the endpoints of the server `gone`, whose only endpoint has no listener.
fn add_endpoint(rig: &TestRig, url: &str) {
    rig.edit_server("gone", |server| {
        let mut endpoints: Vec<Endpoint> = server.endpoints.iter().cloned().collect();
        endpoints.push(Endpoint {
            url: url.parse().unwrap(),
            region: None,
        });
        server.endpoints = EndpointList::new(endpoints).unwrap();
    });
}

#[tokio::test]
async fn calls_move_to_another_endpoint_when_the_circuit_opens_over_the_first() {
    let rig = TestRig::start().await;
    let client = rig.client();
    add_endpoint(&rig, &rig.modern.url());
    let mut failed = 0;
    for attempt in 0..ATTEMPTS {
        let called = client.call(Era::Modern, json!(attempt), "gone__echo", "x");
        let frame = called.await.whole().await.json();
        if frame["result"]["isError"] != true {
            assert_eq!(frame["id"], attempt, "{frame}");
            break;
        }
        failed += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(
        failed < ATTEMPTS,
        "no call ever reached the second endpoint"
    );
    assert!(
        failed > 0,
        "the first endpoint is preferred until it has failed"
    );
    assert_eq!(rig.modern.calls("echo"), 1, "the call ran once");
    // It stays there.
    let called = client.call(Era::Modern, json!("on"), "gone__echo", "x");
    assert!(called.await.whole().await.json()["result"]["isError"] != true);
    assert_eq!(rig.modern.calls("echo"), 2);
    // The server that has this endpoint as its own is not affected.
    let tool = exposed(Era::Modern, "echo");
    let called = client.call(Era::Modern, json!("own"), &tool, "x");
    assert!(called.await.whole().await.json()["result"]["isError"] != true);
}
