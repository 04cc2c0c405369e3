//! Servers with several endpoints: calls go to an endpoint that answers.

use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use toolgate_model::{Endpoint, EndpointList, Era, Timestamp};
use toolgate_runtime::clock::ManualClock;
use toolgate_upstream::circuit_breaker::{FAILURES, OPEN_DURATION};

use crate::rig::{TestRig, exposed};

/// Makes these the endpoints of the server `gone`.
fn set_endpoints(rig: &TestRig, urls: &[&str]) {
    rig.edit_server("gone", |server| {
        let endpoints = urls.iter().map(|url| Endpoint {
            url: url.parse().unwrap(),
            region: None,
        });
        server.endpoints = EndpointList::new(endpoints.collect()).unwrap();
    });
}

/// Starts a listener that reads a request and closes its connection. Returns its URL.
async fn start_closing_listener() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _client)) = listener.accept().await {
            let _read = stream.read(&mut [0; 4096]).await;
        }
    });
    url
}

/// Calls `gone__echo` and reports if the call succeeded.
async fn is_answered(rig: &TestRig, id: u32) -> bool {
    let client = rig.client();
    let called = client.call(Era::Modern, json!(id), "gone__echo", "x");
    let frame = called.await.whole().await.json();
    assert_eq!(frame["id"], id, "{frame}");
    frame["result"]["isError"] != true
}

#[tokio::test]
async fn calls_go_to_the_next_endpoint_while_the_first_has_no_listener() {
    let rig = TestRig::start().await;
    set_endpoints(&rig, &["http://127.0.0.1:1/mcp", &rig.modern.url()]);
    for call in 0..=FAILURES {
        assert!(is_answered(&rig, call).await, "call {call}");
    }
    assert_eq!(
        rig.modern.calls("echo"),
        FAILURES as usize + 1,
        "each ran once"
    );
}

#[tokio::test]
async fn calls_move_to_another_endpoint_when_the_circuit_opens_over_the_first() {
    let clock = ManualClock::new(Timestamp(1_700_000_000_000));
    let rig = TestRig::with_clock(clock.clone()).await;
    let closing = start_closing_listener().await;
    set_endpoints(&rig, &[&closing, &rig.modern.url()]);
    // The open circuit refuses one more call; the next call that is sent chooses the endpoint.
    for call in 0..=FAILURES {
        assert!(!is_answered(&rig, call).await, "call {call}");
    }
    assert_eq!(
        rig.modern.calls("echo"),
        0,
        "the first endpoint is preferred until it has failed"
    );
    clock.advance(OPEN_DURATION.0);
    assert!(is_answered(&rig, 100).await, "the second endpoint answers");
    assert_eq!(rig.modern.calls("echo"), 1, "the call ran once");
    // It stays there.
    assert!(is_answered(&rig, 101).await);
    assert_eq!(rig.modern.calls("echo"), 2);
    // The server that has this endpoint as its own is not affected.
    let client = rig.client();
    let tool = exposed(Era::Modern, "echo");
    let called = client.call(Era::Modern, json!("own"), &tool, "x");
    assert!(called.await.whole().await.json()["result"]["isError"] != true);
}
