//! Legacy sessions: opening, use, foreign ids, end, session streams, cancellation and disconnects.

use std::time::Duration;

use http::Method;
use serde_json::json;
use toolgate_model::Era;

use crate::rig::{HANG_GUARD, NARROW_TOKEN, TestRig, eventually, exposed, within};

const POST: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
];

/// Some clients open a session with every request and never use one.
#[tokio::test]
async fn a_client_that_never_sends_its_session_id_is_told_to_repeat_it() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    client.session = None;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let refused = client.legacy(list).await.whole().await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let message = refused.json()["error"]["message"].to_string();
    for hint in ["Mcp-Session-Id", "answer to `initialize`", "repeat"] {
        assert!(message.contains(hint), "{message}");
    }
}

#[tokio::test]
async fn a_missing_unknown_or_foreign_session_id_is_rejected() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let headers = [POST[0], POST[1], ("mcp-protocol-version", "2025-11-25")];
    let missing = client
        .raw(Method::POST, &headers, &list.to_string())
        .await
        .whole()
        .await;
    assert_eq!(missing.status, 400, "{missing:?}");
    client.initialize().await;
    assert_eq!(client.legacy(list.clone()).await.status, 200);
    // Another principal, another gateway, an invented id.
    let mut other = rig.client_with("everything", NARROW_TOKEN);
    other.session.clone_from(&client.session);
    assert_eq!(other.legacy(list.clone()).await.status, 404);
    let mut other = rig.client_with("other", crate::rig::TOKEN);
    other.session.clone_from(&client.session);
    assert_eq!(other.legacy(list.clone()).await.status, 404);
    other.session = Some("made-up".to_owned());
    let unknown = other.legacy(list.clone()).await.whole().await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.json()["id"].clone()),
        (404, json!(1))
    );
    // End of the session.
    let session = client.session.clone().unwrap();
    let named = [("mcp-session-id", &*session)];
    let ended = client.raw(Method::DELETE, &named, "").await;
    assert_eq!(ended.status, 200);
    assert_eq!(client.legacy(list).await.status, 404);
    let again = client.raw(Method::DELETE, &named, "").await;
    assert_eq!(again.status, 404);
}

#[tokio::test]
async fn version_headers_are_checked_and_may_be_missing() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    client.version = "1999-01-01".to_owned();
    assert_eq!(client.legacy(ping.clone()).await.status, 400);
    let session = client.session.clone().unwrap();
    let headers = [POST[0], POST[1], ("mcp-session-id", &*session)];
    let without = client.raw(Method::POST, &headers, &ping.to_string()).await;
    assert_eq!(without.status, 200);
}

#[tokio::test]
async fn a_get_opens_the_stream_of_a_session_and_a_drain_ends_it() {
    let mut rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let session = client.session.clone().unwrap();
    let named = ("mcp-session-id", &*session);
    let wrong = client
        .raw(Method::GET, &[named, ("accept", "application/json")], "")
        .await;
    assert_eq!(wrong.status, 406);
    let modern = [
        ("accept", "text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
    ];
    let modern = client.raw(Method::GET, &modern, "").await;
    assert_eq!(modern.status, 405);
    let stream = client
        .raw(Method::GET, &[named, ("accept", "text/event-stream")], "")
        .await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let trigger = rig.trigger.take().unwrap();
    let drained = tokio::spawn(trigger.drain(HANG_GUARD));
    assert!(stream.messages().await.is_empty());
    let outcome = drained.await.unwrap();
    assert_eq!(outcome, toolgate_runtime::DrainOutcome::Drained);
}

#[tokio::test]
async fn a_cancellation_reaches_the_server_in_the_form_of_its_era() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    for tool in ["old__slow", "new__slow"] {
        let mut stream = client.call(Era::Legacy, json!("c"), tool, "x").await;
        assert_eq!(
            stream.message().await.unwrap()["method"],
            "notifications/progress"
        );
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": "c", "reason": "enough"}});
        assert_eq!(client.legacy(cancel).await.status, 202);
        assert!(
            stream.messages().await.is_empty(),
            "nothing after a cancellation"
        );
    }
    eventually("the legacy server is told of its own id", || {
        let call = rig.legacy.last("tools/call").unwrap().1;
        let told = rig.legacy.last("notifications/cancelled");
        told.is_some_and(|(_, told)| told["params"]["requestId"] == call["id"])
    })
    .await;
    eventually("the modern server sees it closed", || {
        rig.modern.seen.lock().unwrap().dropped == 1
    })
    .await;
}

#[tokio::test]
async fn a_disconnect_cancels_the_call_of_a_modern_client_only() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let mut stream = client.call(Era::Legacy, json!(1), "new__slow", "x").await;
    assert!(stream.message().await.is_some());
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        rig.modern.seen.lock().unwrap().dropped,
        0,
        "a disconnect is no cancellation"
    );
    let mut stream = client.call(Era::Modern, json!(1), "new__slow", "x").await;
    assert!(stream.message().await.is_some());
    drop(stream);
    eventually("the server sees it closed", || {
        rig.modern.seen.lock().unwrap().dropped == 1
    })
    .await;
    let mut stream = client.call(Era::Modern, json!(1), "old__slow", "x").await;
    assert!(stream.message().await.is_some());
    drop(stream);
    eventually("the legacy server is told", || {
        rig.legacy.last("notifications/cancelled").is_some()
    })
    .await;
}

#[tokio::test]
async fn a_log_level_is_stored_with_its_session() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let level = json!({"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel",
        "params": {"level": "emergency"}});
    assert_eq!(
        client.legacy(level).await.whole().await.json()["result"],
        json!({})
    );
    let stream = client.call(Era::Legacy, json!(2), "old__stream", "x").await;
    let messages = stream.messages().await;
    assert!(
        messages
            .iter()
            .all(|message| message["method"] != "notifications/message")
    );
}

#[tokio::test]
async fn a_disconnect_before_the_response_acts_like_a_later_one() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    // Leaves as soon as the server has been called so often.
    let leave = async |by: Era, server: Era, times: usize| {
        let tool = exposed(server, "silent");
        let id = json!(format!("{by:?} {tool}"));
        tokio::select! {
            answer = client.call(by, id, &tool, "x") => panic!("answered: {}", answer.status),
            () = eventually("it is called", || rig.server(server).calls("silent") == times) => {}
        }
    };
    for era in [Era::Legacy, Era::Modern] {
        leave(Era::Legacy, era, 1).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let dropped = |era| rig.server(era).seen.lock().unwrap().dropped;
    assert_eq!((dropped(Era::Legacy), dropped(Era::Modern)), (0, 0));
    for era in [Era::Legacy, Era::Modern] {
        leave(Era::Modern, era, 2).await;
    }
    eventually("both servers see theirs closed", || {
        (dropped(Era::Legacy), dropped(Era::Modern)) == (1, 1)
    })
    .await;
    eventually("the legacy server is told", || {
        rig.legacy.last("notifications/cancelled").is_some()
    })
    .await;
}

#[tokio::test]
async fn the_stream_of_a_session_ends_when_its_token_expires() {
    let rig = TestRig::start().await;
    rig.source.expire_token("wide", Duration::from_secs(3));
    let mut client = rig.client();
    client.initialize().await;
    let session = client.session.clone().unwrap();
    let named = [
        ("mcp-session-id", &*session),
        ("accept", "text/event-stream"),
    ];
    let stream = client.raw(Method::GET, &named, "").await;
    assert_eq!(stream.status, 200);
    // A keep-alive interval is five times as long.
    let ended = tokio::time::timeout(within(Duration::from_secs(5)), stream.messages());
    assert!(ended.await.expect("with the token").is_empty());
}

#[tokio::test]
async fn a_revocation_ends_open_streams_and_calls_of_its_token_within_two_seconds() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    client.initialize().await;
    let session = client.session.clone().unwrap();
    let named = [
        ("mcp-session-id", &*session),
        ("accept", "text/event-stream"),
    ];
    let standing = client.raw(Method::GET, &named, "").await;
    let mut streamed = Vec::new();
    for (era, tool) in [(Era::Legacy, "old__slow"), (Era::Modern, "new__slow")] {
        let mut call = client.call(era, json!("s"), tool, "x").await;
        assert!(call.message().await.is_some());
        streamed.push(call);
    }
    let waiting = client.call(Era::Modern, json!("w"), "new__silent", "x");
    // No new view arrives: a push may be stuck, and revocations are independent of it.
    let revoke = async {
        eventually("the last call is under way", || {
            rig.modern.calls("silent") == 1
        })
        .await;
        rig.source.revoke(crate::rig::TOKEN);
    };
    let ended = async {
        let (waiting, ()) = tokio::join!(waiting, revoke);
        assert_eq!(waiting.status, 401);
        assert!(standing.messages().await.is_empty());
        for call in streamed {
            assert!(call.messages().await.is_empty(), "no answer comes any more");
        }
    };
    // Nothing else ends these within a minute, or it would end them with an answer. The two seconds are asserted by `make drill`.
    tokio::time::timeout(within(Duration::from_secs(2)), ended)
        .await
        .expect("everything ends in time");
    eventually("the servers are told", || {
        rig.legacy.last("notifications/cancelled").is_some()
            && rig.modern.seen.lock().unwrap().dropped == 2
    })
    .await;
}
