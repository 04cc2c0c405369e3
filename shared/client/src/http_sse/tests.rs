//! Tests of the HTTP+SSE transport against a fake server.

use std::sync::Mutex;

use http::Method;
use serde_json::{Value, json};
use toolgate_mcp::definition::DefinitionKind;
use toolgate_model::{Era, EraPolicy};
use toolgate_runtime::drain;

use super::*;
use crate::{
    ListingLimits, ServerChange, ServerClient, detect,
    detect::tests::{endpoint, http, us},
    fake_server::{self, EventSender, RecordedRequest, ScriptedResponse},
    send,
};

/// State of the fake server.
#[derive(Default)]
struct FakeHttpSseServer {
    stream: Mutex<Option<EventSender>>,
    posted: Mutex<Vec<Value>>,
}

impl FakeHttpSseServer {
    fn say(&self, message: &Value) {
        let stream = self.stream.lock().unwrap();
        let stream = stream.as_ref().unwrap();
        stream.try_send(fake_server::event(message)).unwrap();
    }

    fn hang_up(&self) {
        *self.stream.lock().unwrap() = None;
    }

    fn posted(&self) -> Vec<Value> {
        self.posted.lock().unwrap().clone()
    }

    /// Announces the URL `named` and responds on the stream.
    fn answer(&self, named: &str, status: u16, seen: &RecordedRequest) -> ScriptedResponse {
        if seen.method == Method::GET {
            let (events, response) = fake_server::stream();
            let first = format!("event: endpoint\ndata: {named}\n\n");
            events.try_send(first.into()).unwrap();
            *self.stream.lock().unwrap() = Some(events);
            return response;
        }
        if self.stream.lock().unwrap().is_none() {
            return fake_server::reply(status, "text/html", "<pre>Cannot POST</pre>");
        }
        self.posted.lock().unwrap().push(seen.message.clone());
        let result = match seen.rpc_method() {
            "initialize" => json!({
                "protocolVersion": "2024-11-05",
                "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": "old", "version": "1" },
            }),
            "tools/list" => json!({ "tools": [fake_server::tool("a")] }),
            _ => return fake_server::accepted(),
        };
        self.say(&json!({ "jsonrpc": "2.0", "id": seen.message["id"], "result": result }));
        fake_server::accepted()
    }
}

/// Starts a server that announces this URL, and opens a session with it.
async fn talk(
    named: &'static str,
    status: u16,
    drain: &Drain,
) -> (Arc<FakeHttpSseServer>, Result<ServerClient, ClientError>) {
    let server = Arc::new(FakeHttpSseServer::default());
    let script = Arc::clone(&server);
    let url = fake_server::start(drain, move |seen| script.answer(named, status, &seen));
    let endpoint = endpoint(&url.await.unwrap());
    let peer = detect(
        &http(),
        &endpoint,
        crate::ConfiguredProtocol::default(),
        &us(),
        drain,
    )
    .await;
    (server, peer)
}

/// Opens a stream to a fake server, after the handshake.
async fn stream(drain: &Drain) -> (Arc<FakeHttpSseServer>, ServerEndpoint) {
    let server = Arc::new(FakeHttpSseServer::default());
    let script = Arc::clone(&server);
    let url = fake_server::start(drain, move |seen| script.answer("/messages", 404, &seen));
    let endpoint = endpoint(&url.await.unwrap());
    let opened = HttpSseStream::open(&http(), &endpoint, drain)
        .await
        .unwrap();
    (server, endpoint.with_http_sse(opened))
}

async fn call(endpoint: &ServerEndpoint, id: u64) -> Result<EventStream, ClientError> {
    let request = message::request(&id.to_string(), "tools/call", None);
    let reply = send(&http(), endpoint, RequestHeaders::none(), request).await?;
    let ReplyBody::Sse(events) = reply.body else {
        panic!("{} {:?}", reply.status, reply.body);
    };
    Ok(*events)
}

async fn next(events: &mut EventStream) -> Value {
    let message = events.message().await.unwrap().unwrap();
    serde_json::from_slice(&message).unwrap()
}

#[tokio::test]
async fn every_rejection_of_initialize_falls_back_to_http_sse() {
    let (drain, _trigger) = drain::new();
    for (named, status) in [("/messages?s=1", 404), ("messages", 405), ("?s=1", 400)] {
        let (server, peer) = talk(named, status, &drain).await;
        let peer = peer.unwrap();
        assert_eq!(
            (peer.era(), peer.facts().version.as_str()),
            (Era::Legacy, "2024-11-05")
        );
        let listed = peer
            .list(DefinitionKind::Tool, &ListingLimits::default())
            .await
            .unwrap();
        assert_eq!(listed.definitions.len(), 1);
        let mut changes = peer.changes().await.unwrap().unwrap();
        let changed = "notifications/tools/list_changed";
        server.say(&json!({ "jsonrpc": "2.0", "method": changed }));
        assert_eq!(changes.next().await.unwrap(), Some(ServerChange::Tools));
        server.hang_up();
        assert!(changes.next().await.is_err());
    }
}

#[tokio::test]
async fn messages_are_sent_only_to_the_servers_own_origin() {
    let (drain, _trigger) = drain::new();
    let elsewhere = [
        "http://127.0.0.1:1/messages",
        "//evil.example/messages",
        "https://127.0.0.1/messages",
        "file:///etc/passwd",
    ];
    for named in elsewhere {
        let (server, peer) = talk(named, 404, &drain).await;
        let error = peer.unwrap_err().to_string();
        assert!(error.contains("another origin"), "{named}: {error}");
        assert_eq!(server.posted(), Vec::<Value>::new());
    }
    let stream: Uri = "http://h:1/mcp".parse().unwrap();
    let good = resolve_message_url(&stream, b"http://h:1/m?s=2#part").unwrap();
    assert_eq!(good.to_string(), "http://h:1/m?s=2");
    for bad in [&b""[..], b"\xff", b"http://u:p@h:1/m", b"http://[/m"] {
        resolve_message_url(&stream, bad).unwrap_err();
    }
}

#[tokio::test]
async fn a_failed_http_sse_fallback_reports_the_first_error() {
    let (drain, _trigger) = drain::new();
    let url = fake_server::start(&drain, |_| fake_server::reply(404, "text/plain", "no"));
    let endpoint = endpoint(&url.await.unwrap());
    let legacy_only = crate::ConfiguredProtocol {
        era: EraPolicy::Legacy,
        version: None,
    };
    let peer = detect(&http(), &endpoint, legacy_only, &us(), &drain).await;
    assert_eq!(peer.unwrap_err().status(), Some(StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn each_request_receives_only_its_own_messages() {
    let (drain, _trigger) = drain::new();
    let (server, endpoint) = stream(&drain).await;
    let mut one = call(&endpoint, 1).await.unwrap();
    let asked = json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" });
    server.say(&asked);
    assert_eq!(next(&mut one).await, asked);
    let mut two = call(&endpoint, 2).await.unwrap();
    // The recipient is ambiguous.
    server.say(&asked);
    let progress = |token: u64| json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } });
    let answer = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "result": {} });
    for message in [progress(2), progress(7), answer(9), answer(2), answer(1)] {
        server.say(&message);
    }
    assert_eq!(next(&mut two).await, progress(2));
    assert_eq!(next(&mut two).await, answer(2));
    assert_eq!(next(&mut one).await, answer(1));
    let refused = |posted: &Value| posted["id"] == "q" && posted["error"]["code"] == -32601;
    let pending = async {
        while !server.posted().iter().any(refused) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(crate::HANG_GUARD, pending).await;
    assert!(waited.is_ok(), "{:?}", server.posted());
}

#[tokio::test]
async fn a_lost_stream_ends_pending_requests_and_rejects_new_ones() {
    let (drain, _trigger) = drain::new();
    let (server, endpoint) = stream(&drain).await;
    let mut one = call(&endpoint, 1).await.unwrap();
    server.hang_up();
    let error = one.message().await.unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
    assert!(endpoint.http_sse.as_ref().unwrap().is_closed());
    let error = call(&endpoint, 2).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
    assert_eq!(server.posted().len(), 1);
}

#[tokio::test]
async fn a_slow_reader_does_not_delay_other_requests() {
    let table = Arc::new(PendingRequests::default());
    let mut slow = PendingRequests::register(&table, "1").unwrap();
    PendingRequests::register(&table, "1").unwrap_err();
    let told = |text: String| {
        let message = Bytes::from(text);
        table.deliver(&message, &scan(&message).unwrap())
    };
    let step = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let taken = (0..100).filter(|_| told(step.to_owned())).count();
    assert_eq!(taken, 15);
    assert!(told(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()));
    for _ in 0..taken {
        slow.next().await.unwrap();
    }
    assert!(slow.next().await.unwrap().ends_with(b"{}}"));
    assert_eq!(table.pending(), 0);
    drop(PendingRequests::register(&table, "2").unwrap());
    assert_eq!(table.pending(), 0);
}

/// Opens a stream whose server is pinged while a call is pending.
async fn silent(drain: &Drain) -> (Arc<FakeHttpSseServer>, ServerEndpoint, EventStream) {
    let (server, endpoint) = stream(drain).await;
    let one = call(&endpoint, 1).await.unwrap();
    (server, endpoint, one)
}

fn signs(server: &FakeHttpSseServer) -> Vec<Value> {
    let mut posted = server.posted();
    posted.retain(|message| message["method"] == "ping");
    posted
}

#[tokio::test]
async fn a_half_open_stream_is_lost_before_its_calls_time_out() {
    let (drain, _trigger) = drain::new();
    let (server, endpoint, mut one) = silent(&drain).await;
    // The connection is lost without an error; posts still reach a server.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let error = one.message().await.unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
    assert!(
        begun.elapsed() < silence_timeout(&endpoint),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(signs(&server).len(), 1);
    assert!(endpoint.http_sse.as_ref().unwrap().is_closed());
    let error = call(&endpoint, 2).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_sends_keepalives_may_be_slow() {
    let (drain, _trigger) = drain::new();
    let (server, mut endpoint) = stream(&drain).await;
    // The call has a longer timeout than the stream, so that only the stream can end it.
    endpoint.timeouts.idle = Duration::from_secs(60);
    endpoint.timeouts.total = Duration::from_secs(60);
    let mut one = call(&endpoint, 1).await.unwrap();
    let script = Arc::clone(&server);
    drop(drain.spawn_unguarded(async move {
        let mut answered = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            for ping in signs(&script).split_off(answered) {
                answered += 1;
                let unknown = json!({ "code": -32601, "message": "no" });
                script.say(&json!({ "jsonrpc": "2.0", "id": ping["id"], "error": unknown }));
            }
        }
    }));
    tokio::time::pause();
    let heard = timeout(Duration::from_secs(30), one.message()).await;
    assert!(heard.is_err(), "{heard:?}");
    assert!(signs(&server).len() > 5);
    server.say(&json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    assert_eq!(next(&mut one).await["id"], 1);
}

#[tokio::test]
async fn comments_count_as_keepalives_and_an_idle_stream_needs_none() {
    let (drain, _trigger) = drain::new();
    let (server, mut endpoint) = stream(&drain).await;
    endpoint.timeouts.idle = Duration::from_secs(60);
    endpoint.timeouts.total = Duration::from_secs(60);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(signs(&server), Vec::<Value>::new());
    let mut one = call(&endpoint, 1).await.unwrap();
    for _ in 0..100 {
        let comment = Bytes::from_static(b": still there\n\n");
        server
            .stream
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .try_send(comment)
            .unwrap();
        let heard = timeout(Duration::from_millis(50), one.message()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
    assert_eq!(signs(&server), Vec::<Value>::new());
    server.say(&json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    assert_eq!(next(&mut one).await["id"], 1);
}
