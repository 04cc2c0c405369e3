//! An attempt is a single request, and its report says what is known of it.

use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
};
use toolgate_client::fake_server::{accepted, event, reply, result, stream};
use toolgate_data_core::call::{BodyKind, CallEvent};
use toolgate_model::EndpointList;

use super::*;
use crate::fixture::{FakeServer, a_moment, context, context_at};

const CALL: &str = "tools/call";

fn body_of(report: &SendReport) -> (u16, bool, BodyKind) {
    match report.head {
        UpstreamHead::Response {
            status,
            in_session,
            body,
            ..
        } => (status, in_session, body),
        UpstreamHead::Failed { .. } | UpstreamHead::SessionEnded => panic!("{:?}", report.head),
    }
}

/// Head of a call for which no connection could be made.
fn unreachable(retryable: bool) -> UpstreamHead {
    let failure = UpstreamFailure::Unreachable;
    UpstreamHead::Failed { failure, retryable }
}

#[tokio::test]
async fn a_server_that_does_not_listen_proves_that_nothing_was_sent() {
    let server = FakeServer::start(|_seen| accepted()).await;
    let context = context("http://127.0.0.1:1/", Era::Modern, false);
    let report = server
        .client
        .send(&context, None, SessionChoice::Current)
        .await;
    assert_eq!(report.head, unreachable(true));
    assert!(report.call.is_some(), "its permit waits for the verdict");
}

/// Starts a listener with a full queue: the kernel completes no further connection.
async fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let second = Duration::from_secs(1);
    let connect = || tokio::time::timeout(second, TcpSocket::new_v4().unwrap().connect(address));
    while let Ok(stream) = connect().await {
        queued.push(stream.unwrap());
    }
    (listener, queued)
}

#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_call_have_the_limit_for_connecting_together() {
    let server = FakeServer::start(|_seen| accepted()).await;
    let (full, _queued) = full_listener().await;
    let url = format!("http://{}/", full.local_addr().unwrap());
    let context = context(&url, Era::Modern, false);
    let limit = context.plan.server().timeouts.connect;
    let send = |choice| server.client.send(&context, None, choice);
    let start = Instant::now();
    let report = send(SessionChoice::Current).await;
    // No second attempt follows.
    let expected = unreachable(false);
    assert_eq!(report.head, expected);
    let took = start.elapsed();
    let whole = limit..=limit.mul_f64(1.1);
    assert!(whole.contains(&took), "{took:?} at a limit of {limit:?}");
    // If the first attempt fails before the limit, the second one may take the remaining time.
    let start = Instant::now();
    let rest = limit / 4;
    let second = SessionChoice::Same {
        session: None,
        connect_by: Some(start + rest),
    };
    let report = send(second).await;
    assert_eq!(report.head, expected);
    let took = start.elapsed();
    let part = rest..=rest.mul_f64(1.1);
    assert!(part.contains(&took), "{took:?} of {rest:?} that were left");
}

fn endpoints(urls: &[&str]) -> EndpointList {
    let one = |url: &&str| {
        let list: EndpointList = url.parse().unwrap();
        list.first().clone()
    };
    EndpointList::new(urls.iter().map(one).collect()).unwrap()
}

#[tokio::test]
async fn a_call_goes_on_to_the_next_endpoint_if_no_connection_can_be_made() {
    let server = FakeServer::start(|seen| result(seen, &json!({}))).await;
    let dead = ["http://127.0.0.1:1/", "http://127.0.0.1:2/"];
    let context = context_at(
        endpoints(&[dead[0], dead[1], &server.url]),
        Era::Modern,
        false,
    );
    for number in 1..=3 {
        let report = server
            .client
            .send(&context, None, SessionChoice::Current)
            .await;
        assert_eq!(body_of(&report), (200, false, BodyKind::Document));
        assert_eq!(server.count(CALL), number, "one request each");
    }
    let upstream = server.registry.upstream(context.plan.server()).unwrap();
    assert!(!upstream.has_failures(), "the server as a whole answers");
    // A call fails if all endpoints do.
    let context = context_at(endpoints(&dead), Era::Modern, false);
    let report = server
        .client
        .send(&context, None, SessionChoice::Current)
        .await;
    assert_eq!(report.head, unreachable(true));
}

#[tokio::test]
async fn a_session_ends_with_its_endpoint_and_nothing_is_sent_elsewhere_in_it() {
    let server = FakeServer::start(|seen| result(seen, &json!({}))).await;
    let list = endpoints(&["http://127.0.0.1:1/", &server.url]);
    let context = context_at(list, Era::Legacy, false);
    let send = |choice| server.client.send(&context, None, choice);
    let report = send(SessionChoice::Current).await;
    assert_eq!(report.head, UpstreamHead::SessionEnded);
    assert!(report.call.is_none());
    assert_eq!(server.count(CALL), 0);
    let report = send(SessionChoice::Replace(report.session.unwrap())).await;
    assert_eq!(body_of(&report), (200, true, BodyKind::Document));
    assert_eq!(server.count(CALL), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_answer_leaves_the_next_one_time_to_connect() {
    let server = FakeServer::start(|seen| result(seen, &json!({}))).await;
    let (full, _queued) = full_listener().await;
    let full = format!("http://{}/", full.local_addr().unwrap());
    let context = context_at(endpoints(&[&full, &server.url]), Era::Modern, false);
    let limit = context.plan.server().timeouts.connect;
    let start = Instant::now();
    let send = || server.client.send(&context, None, SessionChoice::Current);
    assert_eq!(body_of(&send().await), (200, false, BodyKind::Document));
    let took = start.elapsed();
    assert!(
        took < limit.mul_f64(0.9),
        "{took:?} at a limit of {limit:?}"
    );
    // Later calls do not wait for it.
    let start = Instant::now();
    assert_eq!(body_of(&send().await), (200, false, BodyKind::Document));
    assert!(start.elapsed() < limit / 4);
}

#[tokio::test]
async fn heads_are_reported_as_they_are() {
    for (status, media, kind) in [
        (200, "application/json", BodyKind::Document),
        (404, "text/html", BodyKind::Other),
        (503, "application/json; charset=utf-8", BodyKind::Document),
        (202, "text/plain", BodyKind::Empty),
        (200, "text/event-stream", BodyKind::Stream),
    ] {
        let server = FakeServer::start(move |_seen| reply(status, media, "")).await;
        for (era, in_session) in [(Era::Legacy, true), (Era::Modern, false)] {
            let context = server.context(era);
            let report = server
                .client
                .send(&context, None, SessionChoice::Current)
                .await;
            assert_eq!(body_of(&report), (status, in_session, kind));
            assert_eq!(report.session.is_some(), in_session);
        }
        assert_eq!(server.count(CALL), 2, "one attempt is one request");
    }
}

#[tokio::test]
async fn legacy_calls_share_a_session_until_it_is_replaced() {
    let server = FakeServer::start(|seen| result(seen, &json!({}))).await;
    let context = server.context(Era::Legacy);
    let send = |choice| server.client.send(&context, None, choice);
    let first = send(SessionChoice::Current).await.session.unwrap();
    let same = send(SessionChoice::Current).await.session.unwrap();
    assert!(Arc::ptr_eq(&first, &same));
    let same = SessionChoice::Same {
        session: Some(Arc::clone(&first)),
        connect_by: None,
    };
    let same = send(same).await;
    assert!(Arc::ptr_eq(&first, &same.session.unwrap()));
    assert_eq!(server.sessions.opened.load(Ordering::Relaxed), 1);
    let other = send(SessionChoice::Replace(first)).await.session.unwrap();
    assert_eq!(other.handshake.session_id.as_deref(), Some("session-1"));
    let ids: Vec<_> = {
        let seen = server.seen.lock().unwrap();
        let calls = seen.iter().filter(|seen| seen.rpc_method() == CALL);
        calls
            .map(|seen| seen.header("mcp-session-id").to_owned())
            .collect()
    };
    assert_eq!(ids, ["session-0", "session-0", "session-0", "session-1"]);
}

#[tokio::test]
async fn the_answers_of_a_round_go_with_the_call() {
    let server = FakeServer::start(|seen| result(seen, &json!({}))).await;
    let context = server.context(Era::Modern);
    let input_responses = InputResponses {
        responses: Some(bytes::Bytes::from_static(br#"{"k":{"action":"accept"}}"#)),
        state: Some("\"s\"".into()),
    };
    let sent = server
        .client
        .send(&context, Some(&input_responses), SessionChoice::Current);
    assert_eq!(body_of(&sent.await).0, 200);
    let seen = server.seen.lock().unwrap();
    let params = &seen[0].message["params"];
    assert_eq!(params["inputResponses"], json!({"k": {"action": "accept"}}));
    assert_eq!(params["requestState"], "s");
}

#[tokio::test]
async fn a_session_is_probed_with_a_ping() {
    let known = FakeServer::start(|seen| result(seen, &json!({}))).await;
    let forgotten = FakeServer::start(|_seen| reply(404, "text/plain", "")).await;
    let expired = FakeServer::start(|_seen| reply(400, "text/plain", "")).await;
    let refused = |status| PingOutcome::Refused(SessionRefusal::Status(status));
    for (server, outcome) in [
        (known, PingOutcome::Answered),
        (forgotten, refused(404)),
        (expired, refused(400)),
    ] {
        let context = server.context(Era::Legacy);
        let sent = server.client.send(&context, None, SessionChoice::Current);
        let session = sent.await.session.unwrap();
        assert_eq!(
            server.client.ping_session(&context, &session).await,
            outcome
        );
        assert_eq!(server.count("ping"), 1);
    }
}

/// A server that reads everything and answers nothing.
async fn silent(server: &FakeServer) -> (String, Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let read: Arc<std::sync::Mutex<Vec<u8>>> = Arc::default();
    let (all, drain) = (Arc::clone(&read), server.registry.drain.clone());
    let connections = drain.clone();
    drop(drain.spawn_unguarded(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            drop(connections.spawn_unguarded(async move {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = connection.read(&mut piece).await {
                    all.lock().unwrap().extend_from_slice(&piece[..length]);
                }
            }));
        }
    }));
    (url, read)
}

#[tokio::test]
async fn a_call_that_is_given_up_before_its_head_is_cancelled() {
    let server = FakeServer::start(|_seen| accepted()).await;
    let (url, read) = silent(&server).await;
    let context = context(&url, Era::Legacy, false);
    let sent = server.client.send(&context, None, SessionChoice::Current);
    // Longer than the call waits for the stream of its session.
    let short = std::time::Duration::from_secs(2);
    assert!(tokio::time::timeout(short, sent).await.is_err());
    a_moment().await;
    let read = String::from_utf8(read.lock().unwrap().clone()).unwrap();
    let (call, cancelled) = (read.find(CALL), read.find("notifications/cancelled"));
    assert!(call.is_some() && call < cancelled, "{read}");
}

#[tokio::test]
async fn no_room_for_an_answer_means_no_call() {
    let server = FakeServer::start(|_seen| accepted()).await;
    let context = server.context(Era::Modern);
    let upstream = server.registry.upstream(context.plan.server()).unwrap();
    let held: Vec<_> = std::iter::from_fn(|| upstream.permit().ok()).collect();
    let report = server
        .client
        .send(&context, None, SessionChoice::Current)
        .await;
    let expected = UpstreamHead::Failed {
        failure: UpstreamFailure::Busy,
        retryable: false,
    };
    assert_eq!(report.head, expected);
    assert!(report.call.is_none());
    drop(held);
    assert_eq!(server.count(CALL), 0);
}

/// A server that sends its requests on the shared stream of the session.
#[tokio::test]
async fn a_request_on_the_shared_stream_reaches_the_one_call_in_flight() {
    let shared: Arc<std::sync::Mutex<Vec<toolgate_client::fake_server::EventSender>>> =
        Arc::default();
    let kept = Arc::clone(&shared);
    let server = FakeServer::start(move |seen| {
        if seen.method == http::Method::GET || seen.rpc_method() == CALL {
            let (events, response) = stream();
            kept.lock().unwrap().push(events);
            return response;
        }
        accepted()
    });
    let server = server.await;
    let context = context(&server.url, Era::Legacy, true);
    let report = server
        .client
        .send(&context, None, SessionChoice::Current)
        .await;
    let mut call = report.call.unwrap();
    let first = shared.lock().unwrap()[0].clone();
    let asks = json!({"jsonrpc": "2.0", "id": 9, "method": "elicitation/create", "params": {"message": "m"}});
    first.send(event(&asks)).await.unwrap();
    let CallEvent::UpstreamMessage(message) = call.read().await else {
        panic!("no message");
    };
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&message).unwrap(),
        asks
    );
    // With a second call it is not known which one is meant: the server is refused.
    let report = server
        .client
        .send(&context, None, SessionChoice::Current)
        .await;
    first.send(event(&asks)).await.unwrap();
    server.until("", 1).await;
    let refused = {
        let seen = server.seen.lock().unwrap();
        let refusal = seen.iter().find(|seen| seen.message["error"].is_object());
        refusal.unwrap().message["id"].clone()
    };
    assert_eq!(refused, 9);
    drop((call, report));
    a_moment().await;
}
