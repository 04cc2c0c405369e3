//! Tests of legacy sessions.

use std::sync::{Arc, Mutex};

use http::{HeaderName, Method};
use serde_json::json;
use toolgate_mcp::definition::DefinitionKind;
use toolgate_runtime::drain;

use super::*;
use crate::{
    ListingLimits, ServerChange, ServerClient,
    detect::tests::{endpoint, http, us},
    fake_server::{self, RecordedRequest},
};

#[tokio::test]
async fn a_session_is_opened_used_and_ended() {
    let (drain, _trigger) = drain::new();
    let log = Arc::new(Mutex::new(Vec::<RecordedRequest>::new()));
    let seen_by = Arc::clone(&log);
    let url = fake_server::start(&drain, move |seen| {
        seen_by.lock().unwrap().push(seen.clone());
        match (seen.method.as_str(), seen.rpc_method()) {
            (_, "initialize") => fake_server::with_session(fake_server::initialized(&seen), "abc"),
            (_, "tools/list") => {
                let (events, response) = fake_server::stream();
                let ping = json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" });
                let roots = json!({ "jsonrpc": "2.0", "id": 9, "method": "roots/list" });
                let other = json!({ "jsonrpc": "2.0", "id": 4711, "result": {} });
                let list = json!({ "tools": [fake_server::tool("a")] });
                let answer = json!({ "jsonrpc": "2.0", "id": seen.message["id"], "result": list });
                for message in [ping, roots, other, answer] {
                    events.try_send(fake_server::event(&message)).unwrap();
                }
                response
            }
            _ => fake_server::accepted(),
        }
    });
    let url = url.await.unwrap();
    let credential = crate::PresentedCredential::header(
        HeaderName::from_static("x-key"),
        HeaderValue::from_static("k"),
    );
    let mut endpoint = endpoint(&url);
    endpoint.credential = Some(credential);
    let session = LegacySession::open(
        &http(),
        &endpoint,
        VersionOffer::Preferred("2025-06-18"),
        &us(),
        &drain,
    )
    .await
    .unwrap();
    assert_eq!(session.handshake().version, "2025-06-18");
    assert_eq!(session.facts().instructions, "be kind");
    let peer = ServerClient::Legacy(session);
    assert_eq!(
        peer.list(DefinitionKind::Tool, &ListingLimits::default())
            .await
            .unwrap()
            .definitions
            .len(),
        1
    );
    peer.close().await;
    let log = log.lock().unwrap();
    assert!(log.iter().all(|seen| seen.header("x-key") == "k"));
    for seen in &log[1..] {
        assert_eq!(seen.header("mcp-session-id"), "abc");
        assert_eq!(seen.header("mcp-protocol-version"), "2025-06-18");
    }
    let pong = log.iter().find(|seen| seen.message["id"] == "p").unwrap();
    assert!(pong.message["result"].is_object());
    let refusal = log.iter().find(|seen| seen.message["id"] == 9).unwrap();
    assert_eq!(refusal.message["error"]["code"], -32601);
    assert_eq!(log.last().unwrap().method, Method::DELETE);
    let accept = log[0].header("accept").to_owned();
    assert!(accept.contains("application/json") && accept.contains("text/event-stream"));
}

#[tokio::test]
async fn the_session_stream_delivers_change_notifications() {
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, |seen| {
        match (seen.method.as_str(), seen.rpc_method()) {
            (_, "initialize") => fake_server::initialized(&seen),
            ("GET", _) => {
                assert_eq!(seen.header("accept"), "text/event-stream");
                let (events, response) = fake_server::stream();
                for method in ["notifications/message", "notifications/tools/list_changed"] {
                    let message = json!({ "jsonrpc": "2.0", "method": method });
                    events.try_send(fake_server::event(&message)).unwrap();
                }
                response
            }
            _ => fake_server::accepted(),
        }
    });
    let url = url.await.unwrap();
    let session = LegacySession::open(
        &http(),
        &endpoint(&url),
        VersionOffer::Preferred("2025-11-25"),
        &us(),
        &drain,
    )
    .await
    .unwrap();
    let mut changes = session.changes().await.unwrap().unwrap();
    assert_eq!(changes.next().await.unwrap(), Some(ServerChange::Tools));
    assert_eq!(changes.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_server_without_a_stream_has_no_feed() {
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, |seen| {
        match (seen.method.as_str(), seen.rpc_method()) {
            (_, "initialize") => fake_server::initialized(&seen),
            ("GET", _) => fake_server::reply(405, "text/plain", ""),
            _ => fake_server::accepted(),
        }
    });
    let url = url.await.unwrap();
    let session = LegacySession::open(
        &http(),
        &endpoint(&url),
        VersionOffer::Preferred("2025-11-25"),
        &us(),
        &drain,
    )
    .await
    .unwrap();
    assert!(session.changes().await.unwrap().is_none());
}

#[tokio::test]
async fn invalid_server_messages_are_descriptive_errors() {
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, |seen| match seen.header("x-case") {
        "session" => fake_server::with_session(fake_server::initialized(&seen), "has space"),
        "id" => fake_server::json_reply(200, &json!({ "jsonrpc": "2.0", "id": 5, "result": {} })),
        "html" => fake_server::reply(200, "text/html", "<h1>Sign in</h1>"),
        "twice" => fake_server::reply(
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":0,"result":{},"result":{}}"#,
        ),
        "huge" => fake_server::reply(200, "application/json", vec![b' '; 2_000_000]),
        _ => fake_server::accepted(),
    });
    let url = url.await.unwrap();
    for (case, words) in [
        ("session", "session id"),
        ("id", "another request"),
        ("html", "neither JSON nor an event stream"),
        ("twice", "written twice"),
        ("huge", "larger than 1048576 bytes"),
        ("none", "like a notification"),
    ] {
        let mut endpoint = endpoint(&url).with_limits(crate::ReadLimits::SMALL);
        endpoint.credential = Some(crate::PresentedCredential::header(
            HeaderName::from_static("x-case"),
            HeaderValue::from_static(case),
        ));
        let error = LegacySession::open(
            &http(),
            &endpoint,
            VersionOffer::Preferred("2025-11-25"),
            &us(),
            &drain,
        )
        .await
        .unwrap_err();
        assert!(error.to_string().contains(words), "{case}: {error}");
    }
}

/// Even if the stream could be resumed, changes in between would be lost.
#[tokio::test]
async fn the_end_of_a_feed_is_reported_at_any_position() {
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, |seen| match seen.rpc_method() {
        "initialize" => fake_server::with_session(fake_server::initialized(&seen), "abc"),
        _ if seen.method == Method::GET => {
            assert_eq!(seen.header("last-event-id"), "", "taken up");
            let changed = "id: e1\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
            fake_server::reply(200, "text/event-stream", changed)
        }
        _ => fake_server::accepted(),
    });
    let endpoint = endpoint(&url.await.unwrap());
    let session = LegacySession::open(
        &http(),
        &endpoint,
        VersionOffer::Preferred("2025-11-25"),
        &us(),
        &drain,
    )
    .await
    .unwrap();
    let mut changes = session.changes().await.unwrap().unwrap();
    assert_eq!(changes.next().await.unwrap(), Some(ServerChange::Tools));
    assert_eq!(changes.next().await.unwrap(), None);
}
