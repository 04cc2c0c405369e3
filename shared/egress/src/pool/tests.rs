//! Tests of the connection pool: connections are reused, one request at a time, only after a response was read to its
//! end, never once closed, and no request is sent twice.

use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::*;
use crate::{Egress, EgressPolicy, EgressResponseBody, HttpClient, RequestTimeouts};

/// Test server with counters of connections and requests.
struct FakeServer {
    address: std::net::SocketAddr,
    seen: Arc<ServerCounters>,
}

#[derive(Default)]
struct ServerCounters {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// Behaviour of the test server.
#[derive(Clone, Copy)]
enum ServerBehavior {
    /// Answers everything.
    Good,
    /// Closes the connection after each response, without announcing it in the head.
    ClosesAfterAnswer,
    /// Closes the connection a while after each response.
    ClosesLater,
    /// Closes the connection after reading its second request.
    ClosesOnSecond,
    /// Sends half of the announced body and stalls.
    Stops,
}

impl ServerCounters {
    fn both(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&self.connections), of(&self.requests))
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own server")]
async fn server(manner: ServerBehavior) -> FakeServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(ServerCounters::default());
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            shared.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, manner, Arc::clone(&shared)));
        }
    });
    FakeServer { address, seen }
}

/// Serves requests without a body: one head is one request.
async fn serve(mut stream: TcpStream, manner: ServerBehavior, seen: Arc<ServerCounters>) {
    let mut head = Vec::new();
    let mut here = 0;
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        head.clear();
        here += 1;
        seen.requests.fetch_add(1, Ordering::SeqCst);
        if matches!(manner, ServerBehavior::ClosesOnSecond) && here == 2 {
            return;
        }
        let text: &[u8] = match manner {
            ServerBehavior::Stops => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
            ServerBehavior::Good
            | ServerBehavior::ClosesAfterAnswer
            | ServerBehavior::ClosesLater
            | ServerBehavior::ClosesOnSecond => {
                b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
            }
        };
        stream.write_all(text).await.unwrap();
        if matches!(manner, ServerBehavior::ClosesAfterAnswer) {
            return;
        }
        if matches!(manner, ServerBehavior::ClosesLater) {
            return sleep(Duration::from_millis(50)).await;
        }
    }
}

fn client(idle_timeout: Duration) -> HttpClient {
    let policy = EgressPolicy {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };
    Egress::new(policy).unwrap().http(PoolOptions {
        idle_timeout,
        ..PoolOptions::default()
    })
}

async fn ask(
    client: &HttpClient,
    server: &FakeServer,
) -> Result<Response<EgressResponseBody>, EgressError> {
    let uri = format!("http://{}/", server.address);
    let request = Request::get(uri).body(EgressRequestBody::empty()).unwrap();
    client.request(request).await
}

#[expect(clippy::disallowed_methods, reason = "limited")]
async fn read(answer: Response<EgressResponseBody>) -> Bytes {
    let body = Limited::new(answer.into_body(), 1024).collect().await;
    body.unwrap().to_bytes()
}

/// Longer than any test: connections are kept for that, and waits that only guard against a hang end then.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_connection_serves_sequential_requests() {
    let (server, client) = (server(ServerBehavior::Good).await, client(LONG));
    for _ in 0..10 {
        assert_eq!(read(ask(&client, &server).await.unwrap()).await, "hello");
    }
    assert_eq!(server.seen.both(), (1, 10));
}

#[tokio::test]
async fn concurrent_requests_use_separate_connections() {
    let (server, client) = (server(ServerBehavior::Good).await, client(LONG));
    for _ in 0..3 {
        let (one, other) = tokio::join!(ask(&client, &server), ask(&client, &server));
        read(one.unwrap()).await;
        read(other.unwrap()).await;
    }
    assert_eq!(server.seen.both(), (2, 6));
}

#[tokio::test]
async fn an_unread_response_closes_its_connection() {
    let (server, client) = (server(ServerBehavior::Stops).await, client(LONG));
    drop(ask(&client, &server).await.unwrap());
    let mut answer = ask(&client, &server).await.unwrap();
    let first = answer.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "hello");
    drop(answer);
    drop(ask(&client, &server).await.unwrap());
    assert_eq!(server.seen.both(), (3, 3));
}

#[tokio::test]
async fn a_closed_connection_is_not_reused() {
    let (server, client) = (
        server(ServerBehavior::ClosesAfterAnswer).await,
        client(LONG),
    );
    for _ in 0..5 {
        assert_eq!(read(ask(&client, &server).await.unwrap()).await, "hello");
        // Long enough for the close to arrive.
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.seen.both(), (5, 5));
}

/// A request on a connection that ends must be notified; otherwise it would wait forever.
#[tokio::test]
async fn a_reused_connection_that_closes_is_replaced_for_its_next_request() {
    let (server, client) = (server(ServerBehavior::ClosesLater).await, client(LONG));
    for _request in 0..3 {
        let asked = timeout(LONG, ask(&client, &server)).await;
        let answer = asked.expect("an answer in time").unwrap();
        assert_eq!(read(answer).await, "hello");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(server.seen.both(), (3, 3));
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_retried() {
    let (server, client) = (server(ServerBehavior::ClosesOnSecond).await, client(LONG));
    read(ask(&client, &server).await.unwrap()).await;
    let error = ask(&client, &server).await.unwrap_err();
    assert!(!error.connect_failed(), "{error}");
    assert_eq!(server.seen.both(), (1, 2));
}

#[tokio::test]
async fn a_passed_deadline_affects_no_other_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = FakeServer {
        address: listener.local_addr().unwrap(),
        seen: Arc::default(),
    };
    let (server, client) = (server(ServerBehavior::Good).await, client(LONG));
    let uri = format!("http://{}/", silent.address);
    let request = Request::get(uri).body(EgressRequestBody::empty()).unwrap();
    let began = Instant::now();
    let limits = |head| RequestTimeouts {
        connect: LONG,
        head: Duration::from_millis(head),
        total: LONG,
    };
    let answer = client.request_within(request, limits(50)).await;
    assert!(answer.is_none());
    assert!(began.elapsed() >= Duration::from_millis(50));
    // A timer armed for an earlier request fires before the deadline of a later one.
    for wait in [60_000, 600, 60_000] {
        let uri = format!("http://{}/", server.address);
        let request = Request::get(uri).body(EgressRequestBody::empty()).unwrap();
        let answer = client.request_within(request, limits(wait)).await.unwrap();
        read(answer.unwrap()).await;
        sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(server.seen.both(), (1, 3));
}

/// Starts a listener with a full queue: the kernel completes no further connection.
async fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let connect = || timeout(LONG, TcpSocket::new_v4().unwrap().connect(address));
    while let Ok(stream) = connect().await {
        queued.push(stream.unwrap());
    }
    (listener, queued)
}

#[tokio::test(start_paused = true)]
async fn the_limit_for_connecting_of_a_request_ends_the_attempt() {
    let (listener, _queued) = full_listener().await;
    let client = client(LONG);
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let connect = PoolOptions::default().connect_timeout;
    for limit in [connect / 5, connect, 2 * connect] {
        let request = Request::get(&uri).body(EgressRequestBody::empty()).unwrap();
        let limits = RequestTimeouts {
            connect: limit,
            head: LONG,
            total: LONG,
        };
        let start = Instant::now();
        let error = client.request_within(request, limits).await.unwrap().err();
        let took = start.elapsed();
        assert!(
            error.as_ref().is_some_and(EgressError::connect_failed),
            "{error:?}"
        );
        let limit = limit.min(connect);
        let expected = limit..=limit.mul_f64(1.1);
        assert!(expected.contains(&took), "{took:?} at a limit of {limit:?}");
    }
}

#[tokio::test]
async fn unused_connections_are_closed_automatically() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = client(Duration::from_millis(200));
    let uri = format!("http://{address}/");
    let request = Request::get(uri).body(EgressRequestBody::empty()).unwrap();
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        stream.write_all(text).await.unwrap();
        stream
    };
    let (answer, mut stream) = tokio::join!(client.request(request), served);
    read(answer.unwrap()).await;
    let closed = timeout(LONG, stream.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}
