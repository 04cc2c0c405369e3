//! A call in flight is read to its end, or cancelled at its server; a legacy server is told so, once.

use serde_json::json;
use toolgate_client::fake_server::{EventSender, accepted, event, reply, result, stream};
use toolgate_data_core::call::UpstreamHead;
use toolgate_model::Era;

use super::*;
use crate::{
    SessionChoice,
    fixture::{FakeServer, a_moment},
};

const CANCELLED: &str = "notifications/cancelled";

/// A server that streams its answer, and the writing side of the stream.
async fn streaming() -> (FakeServer, Arc<std::sync::Mutex<Option<EventSender>>>) {
    let events: Arc<std::sync::Mutex<Option<EventSender>>> = Arc::default();
    let kept = Arc::clone(&events);
    let server = FakeServer::start(move |seen| match seen.rpc_method() {
        "tools/call" => {
            let (events, response) = stream();
            *kept.lock().unwrap() = Some(events);
            response
        }
        _ => accepted(),
    });
    (server.await, events)
}

async fn send_call(server: &FakeServer, era: Era) -> (UpstreamHead, InFlightCall) {
    let context = server.context(era);
    let sent = server.client.send(&context, None, SessionChoice::Current);
    let report = sent.await;
    (report.head, report.call.unwrap())
}

#[tokio::test]
async fn a_legacy_call_that_is_dropped_is_cancelled_once_in_its_session() {
    let (server, _events) = streaming().await;
    let (head, call) = send_call(&server, Era::Legacy).await;
    let UpstreamHead::Response { id, body, .. } = head else {
        panic!("{head:?}");
    };
    assert_eq!(body, BodyKind::Stream);
    drop(call);
    server.until(CANCELLED, 1).await;
    a_moment().await;
    assert_eq!(server.count(CANCELLED), 1);
    let seen = server.seen.lock().unwrap();
    let cancelled = seen.iter().find(|seen| seen.rpc_method() == CANCELLED);
    let cancelled = cancelled.unwrap();
    assert_eq!(cancelled.message["params"]["requestId"], id);
    assert_eq!(cancelled.header("mcp-session-id"), "session-0");
}

#[tokio::test]
async fn a_call_that_was_cancelled_is_not_cancelled_again_when_it_is_dropped() {
    let (server, _events) = streaming().await;
    let (_head, mut call) = send_call(&server, Era::Legacy).await;
    call.cancel();
    call.cancel();
    drop(call);
    server.until(CANCELLED, 1).await;
    a_moment().await;
    assert_eq!(server.count(CANCELLED), 1);
}

#[tokio::test]
async fn a_call_whose_server_is_done_is_not_cancelled() {
    for verdict in [
        UpstreamVerdict::Answered,
        UpstreamVerdict::Resting,
        UpstreamVerdict::Failed {
            failure: UpstreamFailure::Malformed,
            running: false,
        },
    ] {
        let (server, _events) = streaming().await;
        let (_head, mut call) = send_call(&server, Era::Legacy).await;
        call.settle(verdict);
        drop(call);
        a_moment().await;
        assert_eq!(server.count(CANCELLED), 0, "{verdict:?}");
    }
}

#[tokio::test]
async fn a_call_that_failed_while_it_runs_is_cancelled() {
    let (server, _events) = streaming().await;
    let (_head, mut call) = send_call(&server, Era::Legacy).await;
    call.settle(UpstreamVerdict::Failed {
        failure: UpstreamFailure::TooLarge,
        running: true,
    });
    drop(call);
    server.until(CANCELLED, 1).await;
}

#[tokio::test]
async fn a_modern_call_is_cancelled_by_its_connection() {
    let (server, events) = streaming().await;
    let (_head, call) = send_call(&server, Era::Modern).await;
    let events = events.lock().unwrap().take().unwrap();
    drop(call);
    let mut closed = false;
    for _ in 0..200 {
        closed |= events.send(event(&json!({}))).await.is_err();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if closed {
            break;
        }
    }
    assert!(closed, "the server sees its connection closed");
    assert_eq!(server.count(CANCELLED), 0, "and no message");
}

#[tokio::test]
async fn a_stream_is_read_event_by_event_and_its_end_may_be_resumed() {
    let (server, events) = streaming().await;
    let (_head, mut call) = send_call(&server, Era::Legacy).await;
    let events = events.lock().unwrap().take().unwrap();
    let message = json!({"jsonrpc": "2.0", "method": "notifications/message"});
    events.send(event(&message)).await.unwrap();
    let CallEvent::UpstreamMessage(read) = call.read().await else {
        panic!("no message");
    };
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&read).unwrap(),
        message
    );
    drop(events);
    let end = call.read().await;
    let interrupted = UpstreamEnd::Interrupted(UpstreamFailure::Broken);
    assert!(
        matches!(end, CallEvent::UpstreamEnd(end) if end == interrupted),
        "{end:?}"
    );
    // Its events had no ids.
    assert!(!call.start_resume(Timestamp(1)));
}

#[tokio::test]
async fn a_document_is_read_either_way() {
    let server = FakeServer::start(|seen| result(seen, &json!({"content": []}))).await;
    for cancel_safe in [false, true] {
        let (_head, mut call) = send_call(&server, Era::Modern).await;
        assert_eq!(call.body_kind(), BodyKind::Document);
        let event = match cancel_safe {
            true => call.read().await,
            false => call.read_document().await,
        };
        let CallEvent::UpstreamMessage(read) = event else {
            panic!("{event:?}");
        };
        assert!(read.ends_with(br#""result":{"content":[]}}"#), "{read:?}");
        let again = call.read_document().await;
        assert!(matches!(
            again,
            CallEvent::UpstreamEnd(UpstreamEnd::Failed(_))
        ));
    }
}

#[tokio::test]
async fn answers_and_refusals_go_to_the_session_of_the_call() {
    let (server, _events) = streaming().await;
    let (_head, mut call) = send_call(&server, Era::Legacy).await;
    let answer = Bytes::from_static(br#"{"jsonrpc":"2.0","id":5,"result":{}}"#);
    call.respond(answer, Timestamp(9_000));
    call.refuse(Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":6,"error":{}}"#,
    ));
    server.until("", 2).await;
    {
        let seen = server.seen.lock().unwrap();
        let posted = seen.iter().filter(|seen| seen.method == http::Method::POST);
        let responses = posted.filter(|seen| seen.rpc_method().is_empty());
        let mut ids: Vec<_> = responses
            .inspect(|seen| assert_eq!(seen.header("mcp-session-id"), "session-0"))
            .map(|seen| seen.message["id"].as_u64().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, [5, 6]);
    }
    let (session, _) = call.session.as_ref().unwrap();
    assert_eq!(session.last_used(), Timestamp(9_000), "it is in use");
    call.settle(UpstreamVerdict::Answered);
}

#[tokio::test]
async fn a_modern_call_answers_nothing_and_refuses_without_a_session() {
    let server = FakeServer::start(|_seen| reply(200, "application/json", "{}")).await;
    let (_head, mut call) = send_call(&server, Era::Modern).await;
    call.respond(Bytes::from_static(b"{}"), Timestamp(1));
    call.refuse(Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":6,"error":{}}"#,
    ));
    assert!(!call.start_resume(Timestamp(1)));
    call.hold_timeouts();
    call.resume_timeouts();
    server.until("", 1).await;
    a_moment().await;
    assert_eq!(server.count(""), 1);
    let seen = server.seen.lock().unwrap();
    let refusal = seen.iter().find(|seen| seen.rpc_method().is_empty());
    let refusal = refusal.unwrap();
    assert_eq!(refusal.message["id"], 6);
    assert_eq!(refusal.header("mcp-protocol-version"), "2026-07-28");
    assert_eq!(refusal.header("mcp-session-id"), "");
}

#[tokio::test]
async fn a_resting_call_occupies_its_server_no_more() {
    let (server, _events) = streaming().await;
    let (_head, mut call) = send_call(&server, Era::Legacy).await;
    let upstream = Arc::clone(call.permit.upstream());
    assert_eq!(upstream.calls(), 1);
    call.settle(UpstreamVerdict::Resting);
    assert_eq!(upstream.calls(), 0);
    drop(call);
    assert_eq!(upstream.calls(), 0, "counted once");
}

#[test]
fn a_call_that_is_dropped_without_a_runtime_is_dropped() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (call, _server) = runtime.block_on(async {
        let (server, _events) = streaming().await;
        let (_head, call) = send_call(&server, Era::Legacy).await;
        (call, server)
    });
    drop(call);
}
