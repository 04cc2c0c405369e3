//! Quotas per principal (OV-10): a principal that uses up its quota does not affect other principals.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use toolgate_data_plane::DataPlaneOptions;
use toolgate_model::{CallTimeouts, Era, SessionSharing};
use toolgate_session::PrincipalQuotas;

use crate::{
    client::{TestClient, TestResponse, TestResponseStream},
    resource_subscriptions,
    rig::{ANYTHING, HANG_GUARD, TOKEN, TestRig, eventually, exposed},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// Number of attempts, 20 ms apart, before a wait is given up.
const ATTEMPTS: u64 = HANG_GUARD.as_secs() * 50;

async fn rig(change: impl FnOnce(&mut PrincipalQuotas)) -> TestRig {
    let change = |options: &mut DataPlaneOptions| change(&mut options.shares);
    TestRig::with(change, CallTimeouts::default()).await
}

/// Returns a client with a legacy session that declares elicitation.
async fn client(rig: &TestRig, token: &str) -> TestClient {
    let mut client = rig.client_with("everything", token);
    client.capabilities = json!({"elicitation": {}});
    client.initialize().await;
    client
}

async fn call(client: &TestClient, era: Era, tool: &str) -> TestResponseStream {
    client.call(era, json!("c"), tool, "x").await
}

async fn text(client: &TestClient, era: Era, tool: &str) -> String {
    call(client, era, tool).await.whole().await.text
}

fn is_too_many(answer: &TestResponse, what: &str) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.headers["retry-after"], "1");
    let words = format!("too many of your {what} are open: end some of them, or retry later");
    assert_eq!(answer.json()["error"]["message"], words.as_str());
}

async fn ends(rig: &TestRig, what: &str) {
    eventually("nothing is left", || {
        let text = rig.metrics.render();
        let line = text.lines().find(|line| line.starts_with(what));
        line.is_some_and(|line| line.ends_with(" 0"))
    })
    .await;
}

#[tokio::test]
async fn ov_10_sessions_of_one_principal_leave_room_for_others() {
    let rig = rig(|shares| shares.sessions = 2).await;
    let level = json!({"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel",
        "params": {"level": "error"}});
    let set = async |client: &TestClient| client.legacy(level.clone()).await.whole().await;
    let alice = [client(&rig, TOKEN).await, client(&rig, TOKEN).await];
    for client in &alice {
        assert_eq!(set(client).await.json()["result"], json!({}));
    }
    is_too_many(&set(&client(&rig, TOKEN).await).await, "sessions");
    let bob = client(&rig, ANYTHING).await;
    assert_eq!(set(&bob).await.json()["result"], json!({}));
    // Open sessions stay usable, and an ended one makes room.
    assert_eq!(set(&alice[0]).await.json()["result"], json!({}));
    let session = alice[1].session.clone().unwrap();
    let headers = [("mcp-session-id", &*session)];
    alice[1]
        .raw(Method::DELETE, &headers, "")
        .await
        .whole()
        .await;
    let again = client(&rig, TOKEN).await;
    let mut last = set(&again).await;
    for _ in 0..ATTEMPTS {
        if last.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = set(&again).await;
    }
    assert_eq!(last.json()["result"], json!({}));
}

#[tokio::test]
async fn ov_10_streams_of_one_principal_leave_room_for_others() {
    let rig = rig(|shares| shares.subscriptions = 2).await;
    let listen = async |token: &str| {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
            "params": {"notifications": {"toolsListChanged": true}}});
        let client = rig.client_with("everything", token);
        client.modern(message).await
    };
    let held = [listen(TOKEN).await, listen(TOKEN).await];
    is_too_many(&listen(TOKEN).await.whole().await, "subscriptions");
    let mut bob = listen(ANYTHING).await;
    assert!(bob.message().await.is_some(), "acknowledged");
    drop((held, bob));
    ends(&rig, "toolgate_subscriptions").await;
    assert!(listen(TOKEN).await.message().await.is_some());
}

#[tokio::test]
async fn ov_10_resource_feeds_of_one_principal_leave_room_for_others() {
    let rig = resource_subscriptions::rig_with(|options| options.shares.change_feeds = 1).await;
    let (alice, bob) = (client(&rig, TOKEN).await, client(&rig, ANYTHING).await);
    let subscribe = async |client: &TestClient, server: &str| -> Value {
        let uri = format!("{server}+test://a");
        resource_subscriptions::subscribe(client, "resources/subscribe", &uri).await
    };
    assert_eq!(subscribe(&alice, "old").await["result"], json!({}));
    let refused = subscribe(&alice, "new").await;
    let words = refused["error"]["message"].as_str().unwrap();
    assert!(words.contains("too many of your subscriptions"), "{words}");
    assert_eq!(rig.modern.open_feeds(), 0, "nothing was sent");
    assert_eq!(subscribe(&bob, "old").await["result"], json!({}));
    let uri = "old+test://a";
    resource_subscriptions::subscribe(&alice, "resources/unsubscribe", uri).await;
    eventually("hers ends", || rig.legacy.open_feeds() == 1).await;
    let mut last = subscribe(&alice, "new").await;
    for _ in 0..ATTEMPTS {
        if last["result"] == json!({}) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = subscribe(&alice, "new").await;
    }
    assert_eq!(last["result"], json!({}), "{last}");
}

#[tokio::test]
async fn ov_10_upstream_sessions_of_one_principal_leave_room_for_others() {
    let rig = rig(|shares| shares.upstream_sessions = 2).await;
    // Each downstream session has its own upstream session.
    rig.set_sharing(SessionSharing::PerSession);
    for _ in 0..2 {
        let hers = client(&rig, TOKEN).await;
        assert!(
            text(&hers, Era::Legacy, "old__echo")
                .await
                .contains("\"x\"")
        );
    }
    let opened = || rig.legacy.seen.lock().unwrap().opened;
    assert_eq!(opened(), 2);
    let third = client(&rig, TOKEN).await;
    let refused = text(&third, Era::Legacy, "old__echo").await;
    let words = "too many of your sessions with servers are open";
    assert!(refused.contains(words), "{refused}");
    assert_eq!((opened(), rig.legacy.calls("echo")), (2, 2));
    // Servers that need no session are still reachable.
    assert!(
        text(&third, Era::Legacy, "new__echo")
            .await
            .contains("\"x\"")
    );
    let bob = client(&rig, ANYTHING).await;
    assert!(text(&bob, Era::Legacy, "old__echo").await.contains("\"x\""));
}

#[tokio::test]
async fn ov_10_server_requests_to_one_principal_leave_room_for_others() {
    for era in ERAS {
        let rig = rig(|shares| shares.server_requests = 1).await;
        let tool = exposed(era, "ask");
        let alice = [client(&rig, TOKEN).await, client(&rig, TOKEN).await];
        let mut hers = call(&alice[0], Era::Legacy, &tool).await;
        let asked = hers.message().await.unwrap();
        assert_eq!(asked["method"], "elicitation/create");
        // The next call of the same principal ends without a server request and does not hang.
        let messages = call(&alice[1], Era::Legacy, &tool).await;
        let whole = messages.whole().await.text;
        assert!(!whole.contains("elicitation/create"), "{whole}");
        let bob = client(&rig, ANYTHING).await;
        let mut theirs = call(&bob, Era::Legacy, &tool).await;
        let asked = theirs.message().await.unwrap();
        assert_eq!(asked["method"], "elicitation/create");
        let session = alice[0].session.clone().unwrap();
        let headers = [("mcp-session-id", &*session)];
        alice[0]
            .raw(Method::DELETE, &headers, "")
            .await
            .whole()
            .await;
        assert_eq!(hers.message().await, None);
        let mut again = call(&alice[1], Era::Legacy, &tool).await;
        let asked = again.message().await.unwrap();
        assert_eq!(asked["method"], "elicitation/create", "there is room again");
        drop((again, theirs));
    }
}

#[tokio::test]
async fn ov_10_suspended_calls_of_one_principal_leave_room_for_others() {
    let rig = rig(|shares| shares.suspended_calls = 1).await;
    let alice = client(&rig, TOKEN).await;
    let asked = "input_required";
    assert!(text(&alice, Era::Modern, "old__ask").await.contains(asked));
    assert!(!text(&alice, Era::Modern, "old__ask").await.contains(asked));
    let bob = client(&rig, ANYTHING).await;
    assert!(text(&bob, Era::Modern, "old__ask").await.contains(asked));
}

/// The request body of a suspended call is not held: otherwise few absent clients would take all the memory.
#[tokio::test]
async fn ov_10_a_suspended_call_holds_no_request_body() {
    const BODY: usize = 100_000;
    let change =
        |options: &mut DataPlaneOptions| options.listener.limits.total_body_bytes = 8 * BODY;
    let rig = TestRig::with(change, CallTimeouts::default()).await;
    let alice = client(&rig, TOKEN).await;
    let text = "p".repeat(BODY);
    // A quarter of the budget covers two bodies, with their overhead not even that.
    for _ in 0..8 {
        let stream = alice.call(Era::Modern, json!("c"), "old__ask", &text).await;
        let answer = stream.whole().await;
        assert!(answer.text.contains("input_required"), "{answer:?}");
    }
    let stream = alice
        .call(Era::Modern, json!("c"), "new__echo", &text)
        .await;
    assert_eq!(stream.whole().await.status, 200);
}

#[tokio::test]
async fn ov_10_calls_of_one_principal_leave_room_for_others() {
    let rig = rig(|shares| shares.cancellable_calls = 1).await;
    let (alice, more) = (client(&rig, TOKEN).await, client(&rig, TOKEN).await);
    let mut held = Vec::new();
    // Two calls that do not count against the quota, and a third that does.
    for id in 0..3 {
        let mut stream = alice.call(Era::Legacy, json!(id), "new__slow", "x").await;
        stream.message().await.unwrap();
        held.push(stream);
    }
    is_too_many(
        &call(&more, Era::Legacy, "new__echo").await.whole().await,
        "calls",
    );
    let bob = client(&rig, ANYTHING).await;
    assert!(text(&bob, Era::Legacy, "new__echo").await.contains("\"x\""));
    for id in 0..3 {
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": id}});
        assert_eq!(alice.legacy(cancel).await.whole().await.status, 202);
    }
    ends(&rig, "toolgate_calls_legacy").await;
    assert!(
        text(&more, Era::Legacy, "new__echo")
            .await
            .contains("\"x\"")
    );
    drop(held);
}

/// Sends a call and does not read the response.
async fn unread_call(rig: &TestRig, token: &str, text: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(rig.address).await.unwrap();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "new__echo", "arguments": {"text": text},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}},
    }})
    .to_string();
    let head = format!(
        "POST /v1/mcp/everything HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: new__echo\r\n\
         content-length: {}\r\n\r\n",
        rig.address,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn ov_10_a_call_without_memory_for_its_response_is_not_sent() {
    const ANSWER: usize = 3 << 20;
    let change = |options: &mut DataPlaneOptions| options.response_bytes = 2 * ANSWER + 200_000;
    let rig = TestRig::with(change, CallTimeouts::default()).await;
    let (alice, bob) = (client(&rig, TOKEN).await, client(&rig, ANYTHING).await);
    let text = "x".repeat(ANSWER);
    let held = unread_call(&rig, TOKEN, &text).await;
    let refused = async |client: &TestClient, words: &str| {
        for (era, tool) in [(Era::Modern, "new__echo"), (Era::Legacy, "old__echo")] {
            let reached = || rig.legacy.calls("echo") + rig.modern.calls("echo");
            let mut before = reached();
            let mut answer = self::text(client, era, tool).await;
            for _ in 0..ATTEMPTS {
                if answer.contains(words) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                before = reached();
                answer = self::text(client, era, tool).await;
            }
            assert!(answer.contains(words), "{answer}");
            assert!(answer.contains("nothing was sent"), "{answer}");
            assert_eq!(reached(), before, "nothing was sent");
        }
    };
    refused(&alice, "too many of your answers are open").await;
    for era in ERAS {
        let answer = self::text(&bob, era, &exposed(era, "echo")).await;
        assert!(answer.contains("\"x\""), "{answer}");
    }
    // When the whole budget is used up, every principal gets the error.
    let theirs = unread_call(&rig, ANYTHING, &text).await;
    for client in [&alice, &bob] {
        refused(client, "the gateway is overloaded with answers").await;
    }
    drop((held, theirs));
    for _ in 0..ATTEMPTS {
        if self::text(&alice, Era::Modern, "new__echo")
            .await
            .contains("\"x\"")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is given back");
}
