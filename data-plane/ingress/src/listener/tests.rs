//! Tests of the listener over real sockets on loopback: HTTP/1 and HTTP/2, limits and draining.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::{Instant, timeout},
};
use toolgate_data_core::Refusal;
use toolgate_runtime::{DrainOutcome, DrainTrigger, budget::BudgetOwner, drain, tls};

use super::*;
use crate::{
    HANG_GUARD,
    body::{NeverBody, ResponseBody},
    request::IncomingRequest,
    response::{empty_response, refusal_response},
};

/// Handler that answers by path.
#[derive(Default)]
struct EchoHandler {
    held: Arc<Notify>,
}

impl RequestHandler for EchoHandler {
    type Stream = NeverBody;

    async fn serve(self: Arc<Self>, request: IncomingRequest) -> Response<ResponseBody<NeverBody>> {
        match request.head.uri.path() {
            "/panic" => panic!("as asked for"),
            "/slow" => {
                sleep(SLOW).await;
                empty_response(StatusCode::NO_CONTENT)
            }
            "/held" => {
                self.held.notified().await;
                empty_response(StatusCode::NO_CONTENT)
            }
            "/large" => Response::new(ResponseBody::Full(vec![0; 32 * 1024 * 1024].into())),
            "/unread" => refusal_response(&Refusal::Unauthenticated, None),
            path => match request.body.read(BudgetOwner::of(&path), usize::MAX).await {
                Ok(bytes) => Response::new(ResponseBody::from_chunks(vec![
                    Bytes::from_static(b">"),
                    bytes,
                ])),
                Err(refusal) => refusal_response(&refusal, None),
            },
        }
    }
}

/// Opens a listener whose only time limits are set by `change`, so that no other limit ends a connection.
fn open(change: impl FnOnce(&mut ListenerOptions)) -> (SocketAddr, DrainTrigger) {
    open_with(EchoHandler::default(), change)
}

fn open_with(
    echo: EchoHandler,
    change: impl FnOnce(&mut ListenerOptions),
) -> (SocketAddr, DrainTrigger) {
    let mut options = ListenerOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let limits = &mut options.limits;
    for limit in [
        &mut limits.connection.head_timeout,
        &mut limits.connection.idle_timeout,
        &mut limits.connection.body_stall_timeout,
        &mut limits.body_timeout,
        &mut limits.connection.write_stall_timeout,
        &mut limits.connection.handshake_timeout,
        &mut limits.connection.max_age,
    ] {
        *limit = 60 * HANG_GUARD;
    }
    change(&mut options);
    let door = Listener::bind(options).unwrap();
    let address = door.address();
    let (drain, trigger) = drain::new();
    let _task = drain.spawn("door", door.serve(Arc::new(echo), drain.clone()));
    (address, trigger)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpSocket::new_v4().unwrap().connect(address).await.unwrap()
}

/// Sends `text` and reads one response of known length, or everything up to the end of the stream.
async fn exchange(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = timeout(HANG_GUARD, stream.read(&mut piece)).await;
        let count = count.expect("an answer in time").unwrap_or(0);
        got.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&got).into_owned();
        if count == 0 || complete(&text) {
            return text;
        }
    }
}

/// Asks on connections of their own until the answer begins so.
async fn eventually(address: SocketAddr, text: &str, begins: &str) -> String {
    let asking = async {
        loop {
            let answer = exchange(&mut connect(address).await, text).await;
            if answer.starts_with(begins) {
                return answer;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = timeout(HANG_GUARD, asking).await;
    answer.unwrap_or_else(|_| panic!("never {begins}"))
}

fn complete(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head.split_once("content-length: ").map(|(_, rest)| {
        let digits = rest.split("\r\n").next().unwrap();
        digits.parse::<usize>().unwrap()
    });
    body.len() >= length.unwrap_or(0)
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Returns the time until the listener closes the connection.
async fn until_closed(stream: &mut TcpStream, start: Instant) -> Duration {
    let mut sink = Vec::new();
    let end = timeout(HANG_GUARD, stream.read_to_end(&mut sink)).await;
    let _reset_or_end = end.expect("closed in time");
    start.elapsed()
}

const SHORT: Duration = Duration::from_millis(300);
const SLOW: Duration = Duration::from_millis(400);

/// Not before the limit, in any run; and soon after it in `make drill`, since a busy machine is late.
fn about(limit: Duration, took: Duration) {
    assert!(took >= limit.mul_f64(0.8), "{took:?} for {limit:?}");
    if std::env::var_os("TOOLGATE_TEST_DRILL").is_some() {
        assert!(took < limit * 2, "{took:?} for {limit:?}");
    }
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (address, _trigger) = open(|_| {});
    let mut stream = connect(address).await;
    for body in ["one", "", "three"] {
        let answer = exchange(&mut stream, &post("/", body)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n>{body}")), "{answer}");
    }
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port() {
    let (address, _trigger) = open(|_| {});
    let io = TokioIo::new(connect(address).await);
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder
        .handshake::<_, http_body_util::Full<Bytes>>(io)
        .await
        .unwrap();
    let (drain, _other) = drain::new();
    let _task = drain.spawn_unguarded(connection);
    let request = http::Request::post(format!("http://localhost:{}/", address.port()));
    let request = request.body(Bytes::from_static(b"hello").into()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut got = Vec::new();
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        got.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(got, b">hello");
    let foreign = http::Request::post("http://evil.example/")
        .body(Bytes::new().into())
        .unwrap();
    assert_eq!(sender.send_request(foreign).await.unwrap().status(), 403);
}

/// OV-03: PING, SETTINGS and PRIORITY frames are answered below the layer that counts requests.
#[tokio::test]
async fn a_flood_of_http2_control_frames_closes_the_connection() {
    let (address, _trigger) = open(|_| {});
    for (kind, payload) in [(6, 8), (4, 0), (2, 5)] {
        let mut stream = connect(address).await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        stream.write_all(preface).await.unwrap();
        // PRIORITY frames belong to a stream, the others to the connection.
        let of = u8::from(kind == 2);
        let mut frame = vec![0, 0, payload, kind, 0, 0, 0, 0, of];
        frame.resize(9 + usize::from(payload), 0);
        let flood = frame.repeat(20_000);
        let _cut_off = stream.write_all(&flood).await;
        until_closed(&mut stream, Instant::now()).await;
    }
}

#[tokio::test]
async fn a_panic_fails_only_its_request() {
    let (address, _trigger) = open(|_| {});
    let mut stream = connect(address).await;
    let answer = exchange(&mut stream, &post("/panic", "")).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("-32603"), "{answer}");
    let answer = exchange(&mut stream, &post("/", "on")).await;
    assert!(answer.ends_with(">on"), "{answer}");
}

#[tokio::test]
async fn invalid_heads_are_rejected_before_the_request_handler() {
    let (address, _trigger) = open(|_| {});
    for (fields, status) in [
        ("host: evil.example\r\n", "403"),
        ("", "403"),
        ("host: localhost\r\norigin: https://evil.example\r\n", "403"),
        ("host: localhost\r\norigin: null\r\n", "403"),
        ("host: localhost\r\nmcp_name: x\r\n", "400"),
        ("host: localhost\r\ncontent-encoding: gzip\r\n", "415"),
        (
            "host: localhost\r\ntransfer-encoding: gzip, chunked\r\n",
            "400",
        ),
        (
            "host: localhost\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "400",
        ),
    ] {
        let mut stream = connect(address).await;
        let coded = fields.contains("transfer-encoding");
        let length = if coded { "" } else { "content-length: 0\r\n" };
        let text = format!("POST /panic HTTP/1.1\r\n{fields}{length}\r\n");
        let answer = exchange(&mut stream, &text).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{fields}: {answer}"
        );
    }
}

/// A listener at all addresses is reached at many: each connection has the one where it arrived.
#[tokio::test]
async fn a_listener_at_all_addresses_serves_the_address_of_the_connection_and_counts_other_hosts() {
    let metrics = Metrics::new();
    let counted = metrics.clone();
    let (bound, _trigger) = open(|options| {
        options.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        options.metrics = Some(counted);
    });
    for (address, host, status) in [
        ([127, 0, 0, 2], "127.0.0.2", "200"),
        ([127, 0, 0, 3], "127.0.0.3", "200"),
        ([127, 0, 0, 3], "localhost", "200"),
        ([127, 0, 0, 3], "127.0.0.2", "403"),
        ([127, 0, 0, 3], "evil.example", "403"),
    ] {
        let mut stream = connect(SocketAddr::from((address, bound.port()))).await;
        let text = format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
        let answer = exchange(&mut stream, &text).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{host}: {answer}"
        );
    }
    let scraped = metrics.render();
    let line = "toolgate_hosts_refused_total{listener=\"client\"} 2";
    assert!(scraped.contains(line), "{scraped}");
}

#[tokio::test]
async fn a_refused_transfer_coding_closes_the_connection() {
    let (address, _trigger) = open(|_| {});
    for fields in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        let mut stream = connect(address).await;
        let refused = format!("POST / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n0\r\n\r\n");
        let answer = exchange(&mut stream, &refused).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let head = answer.to_ascii_lowercase();
        assert!(head.contains("connection: close"), "{answer}");
        until_closed(&mut stream, Instant::now()).await;
    }
}

#[tokio::test]
async fn header_count_and_size_are_bounded() {
    let (address, _trigger) = open(|_| {});
    let many: String = (0..65).map(|n| format!("x-{n}: 1\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(40_000));
    for fields in [many, large] {
        let mut stream = connect(address).await;
        let text = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
        let answer = exchange(&mut stream, &text).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_with_and_without_content_length() {
    let (address, _trigger) = open(|options| options.limits.body_bytes = 10);
    let mut stream = connect(address).await;
    let answer = exchange(&mut stream, &post("/", "12345678901")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut stream = connect(address).await;
    let chunked = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
         6\r\n123456\r\n6\r\n123456\r\n0\r\n\r\n";
    let answer = exchange(&mut stream, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut stream = connect(address).await;
    let fits = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n";
    let answer = exchange(&mut stream, fits).await;
    assert!(answer.ends_with(">1234512345"), "{answer}");
}

#[tokio::test]
async fn bodies_share_a_budget_and_release_it() {
    let (address, _trigger) = open(|options| options.limits.total_body_bytes = 12_000);
    let mut held = connect(address).await;
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8001\r\n\r\n";
    let most = "x".repeat(8_000);
    held.write_all(format!("{head}{most}").as_bytes())
        .await
        .unwrap();
    sleep(Duration::from_millis(100)).await;
    // As soon as what is held has been read.
    eventually(address, &post("/other", &most), "HTTP/1.1 503").await;
    let mut small = connect(address).await;
    assert!(
        exchange(&mut small, &post("/", "small"))
            .await
            .ends_with(">small")
    );
    assert!(exchange(&mut held, "x").await.starts_with("HTTP/1.1 200"));
    // The client may read the last byte of the response before the listener releases the body's budget.
    eventually(address, &post("/other", &most), "HTTP/1.1 200").await;
}

#[tokio::test]
async fn body_memory_is_limited_per_caller() {
    let (address, _trigger) = open(|options| options.limits.total_body_bytes = 40_000);
    let head = "POST /one HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8001\r\n\r\n";
    let most = "x".repeat(8_000);
    let mut held = connect(address).await;
    held.write_all(format!("{head}{most}").as_bytes())
        .await
        .unwrap();
    sleep(Duration::from_millis(100)).await;
    let answer = eventually(address, &post("/one", &most), "HTTP/1.1 429").await;
    assert!(
        answer.to_ascii_lowercase().contains("retry-after: 1"),
        "{answer}"
    );
    let mut other = connect(address).await;
    let answer = exchange(&mut other, &post("/other", &most)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(exchange(&mut held, "x").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_never_ends_times_out() {
    let (address, _trigger) = open(|options| options.limits.body_timeout = SHORT);
    let mut stream = connect(address).await;
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..20 {
        sleep(Duration::from_millis(50)).await;
        if stream.write_all(b"x").await.is_err() {
            break;
        }
    }
    let answer = exchange(&mut stream, "").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_below_the_least_rate_times_out_though_it_never_stalls() {
    let (address, _trigger) = open(|options| {
        options.limits.connection.body_stall_timeout = 2 * SHORT;
        options.limits.connection.least_rate = 1_000;
    });
    let mut stream = connect(address).await;
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let trickle = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
            let mut answer = [0; 12];
            if let Ok(Ok(_read)) = timeout(Duration::from_millis(1), stream.read(&mut answer)).await
            {
                return;
            }
        }
    };
    timeout(HANG_GUARD, trickle).await.expect("ended in time");
}

#[tokio::test]
async fn a_slow_reader_ends_early_while_memory_is_short() {
    let responses = MemoryBudget::new(1_000);
    let budget = Arc::clone(&responses);
    let (address, _trigger) = open(move |options| {
        options.responses = Some(budget);
        options.limits.connection.pressed_stall_timeout = SHORT;
    });
    let mut slow = connect(address).await;
    slow.write_all(post("/large", "").as_bytes()).await.unwrap();
    // Memory is not short: the client has all the time of the write timeout.
    sleep(3 * SHORT).await;
    slow.write_all(b"P").await.expect("still open");
    let mut held = responses.open(None);
    held.add(600).unwrap();
    let start = Instant::now();
    let ended = async {
        while slow.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(HANG_GUARD, ended).await.expect("ended in time");
    println!("ended after {:?}", start.elapsed());
}

#[tokio::test]
async fn an_idle_or_incomplete_head_times_out() {
    let (address, _trigger) = open(|options| options.limits.connection.head_timeout = SHORT);
    let start = Instant::now();
    let mut silent = connect(address).await;
    about(SHORT, until_closed(&mut silent, start).await);
    let start = Instant::now();
    let mut half = connect(address).await;
    half.write_all(b"POST / HTTP/1.1\r\nhost: loc")
        .await
        .unwrap();
    about(SHORT, until_closed(&mut half, start).await);
    // The same timeout applies to a connection that has served a request before.
    let mut kept = connect(address).await;
    exchange(&mut kept, &post("/", "x")).await;
    sleep(SHORT * 2).await;
    let start = Instant::now();
    kept.write_all(b"POST / HT").await.unwrap();
    about(SHORT, until_closed(&mut kept, start).await);
}

#[tokio::test]
async fn an_idle_connection_times_out_and_a_busy_one_does_not() {
    let (address, _trigger) = open(|options| options.limits.connection.idle_timeout = SHORT);
    let mut stream = connect(address).await;
    let start = Instant::now();
    let answer = exchange(&mut stream, &post("/slow", "")).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    // From the end of the request on, which took longer than the limit.
    about(SLOW + SHORT, until_closed(&mut stream, start).await);
}

#[tokio::test]
async fn a_stalled_body_times_out() {
    let (address, _trigger) = open(|options| options.limits.connection.body_stall_timeout = SHORT);
    let mut stream = connect(address).await;
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf";
    let start = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    about(SHORT, until_closed(&mut stream, start).await);
}

#[tokio::test]
async fn an_old_connection_is_asked_to_close() {
    let (address, _trigger) = open(|options| options.limits.connection.max_age = SHORT);
    let mut stream = connect(address).await;
    let answer = exchange(&mut stream, &post("/slow", "")).await;
    assert!(
        answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_are_limited_per_address() {
    let (address, _trigger) = open(|options| options.limits.connection.connections_per_address = 1);
    let mut first = connect(address).await;
    // A request is in progress, so the connection makes no room for another.
    first.write_all(post("/held", "").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    // No limit of time closes it, so that it is closed at all is for the share.
    let mut second = connect(address).await;
    until_closed(&mut second, Instant::now()).await;
    drop(first);
    let served = async {
        loop {
            let mut third = connect(address).await;
            let sent = third.write_all(post("/", "x").as_bytes()).await;
            if sent.is_ok() && exchange(&mut third, "").await.ends_with(">x") {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(HANG_GUARD, served).await.expect("a place is free");
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one_of_its_address() {
    let (address, _trigger) = open(|options| {
        options.limits.connection.connections_per_address = 2;
        options.limits.connection.eviction_age = Duration::ZERO;
    });
    let mut served = connect(address).await;
    exchange(&mut served, &post("/", "x")).await;
    let mut silent = connect(address).await;
    sleep(Duration::from_millis(50)).await;
    // Kept open: a connection that its client closes makes room too, and then no idle one has to.
    let mut newer = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(address).await;
        let answer = exchange(&mut stream, &post("/", "new")).await;
        assert!(answer.ends_with(">new"), "{answer}");
        newer.push(stream);
    }
    until_closed(&mut served, Instant::now()).await;
    until_closed(&mut silent, Instant::now()).await;
}

#[tokio::test]
async fn an_incomplete_http2_head_times_out_like_one_of_http1() {
    let (address, _trigger) = open(|options| options.limits.connection.head_timeout = SHORT);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [preface.as_slice(), b"\0\0\0\x04\0\0\0\0\0"].concat();
    // One byte of a header block, of a frame without END_HEADERS.
    let fragment = [settings.as_slice(), b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat();
    let cut = fragment[..fragment.len() - 4].to_vec();
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("part of the method", b"PR".to_vec()),
        ("half a preface", preface[..12].to_vec()),
        ("a preface", settings),
        ("a fragment", fragment),
        ("part of a frame header", cut),
    ] {
        let start = Instant::now();
        let mut stream = connect(address).await;
        stream.write_all(&bytes).await.unwrap();
        let took = until_closed(&mut stream, start).await;
        assert!(took >= SHORT.mul_f64(0.8), "{name}: {took:?}");
        if std::env::var_os("TOOLGATE_TEST_DRILL").is_some() {
            assert!(took < SHORT * 3, "{name}: {took:?}");
        }
    }
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_closes_idle_connections() {
    let echo = EchoHandler::default();
    let held = Arc::clone(&echo.held);
    let (address, trigger) = open_with(echo, |options| options.linger = Duration::from_secs(2));
    let mut idle = connect(address).await;
    exchange(&mut idle, &post("/", "x")).await;
    let mut busy = connect(address).await;
    busy.write_all(post("/held", "").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let drained = trigger.drain(HANG_GUARD);
    let during = async {
        sleep(Duration::from_millis(20)).await;
        // During the linger time, clients of balancers that have not noticed the drain are still served.
        let mut late = connect(address).await;
        let answer = exchange(&mut late, &post("/", "late")).await;
        assert!(answer.ends_with(">late"), "{answer}");
        until_closed(&mut idle, Instant::now()).await;
        held.notify_one();
        let answer = exchange(&mut busy, "").await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        until_closed(&mut busy, Instant::now()).await;
    };
    let (outcome, ()) = tokio::join!(drained, during);
    assert_eq!(outcome, DrainOutcome::Drained);
    assert!(TcpSocket::new_v4().unwrap().connect(address).await.is_err());
}

#[tokio::test]
async fn tls_serves_http1_and_http2_and_handshakes_time_out() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = made.cert.pem().into_bytes();
    let identity = tls::TlsIdentity::from_pem(&chain, made.signing_key.serialize_pem().as_bytes());
    let identity = tls::ReloadableIdentity::new(identity.unwrap()).unwrap();
    let roots = tls::certificates("test", &chain).unwrap();
    let (address, _trigger) = open(|options| {
        options.tls = Some(tls::server(&identity, tls::ALPN_BOTH).unwrap());
        options.limits.connection.handshake_timeout = SHORT;
    });
    let name = || "localhost".to_owned().try_into().unwrap();
    let client = tls::client(&roots, None, &[b"http/1.1"]).unwrap();
    let connector = tokio_rustls::TlsConnector::from(client);
    let mut stream = connector
        .connect(name(), connect(address).await)
        .await
        .unwrap();
    stream
        .write_all(post("/", "secret").as_bytes())
        .await
        .unwrap();
    let mut got = [0; 4096];
    let count = stream.read(&mut got).await.unwrap();
    assert!(got.starts_with(b"HTTP/1.1 200") && got[..count].ends_with(b">secret"));

    let client = tls::client(&roots, None, tls::ALPN_BOTH).unwrap();
    let connector = tokio_rustls::TlsConnector::from(client);
    let stream = connector
        .connect(name(), connect(address).await)
        .await
        .unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let made = builder
        .handshake::<_, http_body_util::Full<Bytes>>(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = made.unwrap();
    let (drain, _other) = drain::new();
    let _task = drain.spawn_unguarded(connection);
    let request = http::Request::post("https://localhost/")
        .body(Bytes::new().into())
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);

    let start = Instant::now();
    let mut silent = connect(address).await;
    about(SHORT, until_closed(&mut silent, start).await);
}

#[tokio::test]
async fn an_early_rejection_does_not_read_the_body() {
    let (address, _trigger) = open(|_| {});
    let mut stream = connect(address).await;
    let head = "POST /unread HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n";
    let answer = exchange(&mut stream, head).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
