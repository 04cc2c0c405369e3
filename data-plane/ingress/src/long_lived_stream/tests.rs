//! Tests of long-lived streams over real sockets on loopback: their bytes, their end, and pipelined requests.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
    sync::mpsc::{self, Receiver, Sender},
    time::Instant,
};
use toolgate_runtime::{DrainTrigger, drain};

use super::*;
use crate::{
    HANG_GUARD,
    body::ResponseBody,
    handler::RequestHandler,
    listener::{Listener, ListenerOptions},
    request::IncomingRequest,
};

const SHORT: Duration = Duration::from_millis(300);

/// Answers `/stream` with a stream that the test feeds, and any other path with the path.
struct StreamingHandler {
    streams: Sender<Sender<Bytes>>,
}

struct ChannelBody(Receiver<Bytes>);

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let said = self.0.poll_recv(cx);
        said.map(|said| said.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl RequestHandler for StreamingHandler {
    type Stream = ChannelBody;

    async fn serve(
        self: Arc<Self>,
        request: IncomingRequest,
    ) -> Response<ResponseBody<ChannelBody>> {
        let path = request.head.uri.path().to_owned();
        if path != "/stream" {
            return Response::new(ResponseBody::from(Bytes::from(path)));
        }
        let (sender, receiver) = mpsc::channel(1024);
        self.streams.send(sender).await.unwrap();
        let mut answer = Response::new(ResponseBody::LongLived(ChannelBody(receiver)));
        let of = HeaderValue::from_static("text/event-stream");
        answer.headers_mut().insert(header::CONTENT_TYPE, of);
        answer
    }
}

struct TestListener {
    address: SocketAddr,
    streams: Receiver<Sender<Bytes>>,
    _trigger: DrainTrigger,
}

fn open(change: impl FnOnce(&mut ListenerOptions)) -> TestListener {
    let mut options = ListenerOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    options.limits.connection.write_stall_timeout = SHORT;
    options.limits.connection.idle_timeout = SHORT;
    change(&mut options);
    let door = Listener::bind(options).unwrap();
    let address = door.address();
    let (drain, trigger) = drain::new();
    let (sender, streams) = mpsc::channel(16);
    let stage = Arc::new(StreamingHandler { streams: sender });
    let _task = drain.spawn("door", door.serve(stage, drain.clone()));
    TestListener {
        address,
        streams,
        _trigger: trigger,
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpSocket::new_v4().unwrap().connect(address).await.unwrap()
}

async fn ask(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// Reads until `end` has arrived.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(end) {
        let mut piece = [0; 4096];
        let read = timeout(HANG_GUARD, stream.read(&mut piece)).await;
        let count = read.expect("in time").unwrap();
        assert!(count > 0, "ended after {:?}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn a_client_reads_a_stream_until_its_end() {
    let mut open = open(|_| {});
    let io = TokioIo::new(connect(open.address).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let (drain, _other) = drain::new();
    let _task = drain.spawn_unguarded(connection);
    let request = http::Request::get("/stream").header("host", "localhost");
    let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let dated = answer.headers()["date"].to_str().unwrap();
    httpdate::parse_http_date(dated).unwrap();
    let said = open.streams.recv().await.unwrap();
    let mut body = answer.into_body();
    // Longer than the idle timeout and the write stall timeout.
    tokio::time::sleep(2 * SHORT).await;
    let large = vec![b'x'; 300_000];
    for piece in [b"one".to_vec(), b"two".to_vec(), large] {
        said.send(Bytes::from(piece.clone())).await.unwrap();
        let mut got = Vec::new();
        while got.len() < piece.len() {
            let frame = timeout(HANG_GUARD, body.frame()).await.expect("in time");
            got.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
        }
        assert!(got == piece, "{} of {}", got.len(), piece.len());
    }
    drop(said);
    let end = timeout(HANG_GUARD, body.frame()).await.expect("in time");
    assert!(end.is_none(), "a good end, as chunks tell it");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut open = open(|_| {});
    let mut stream = connect(open.address).await;
    ask(&mut stream, &(get("/first") + &get("/stream"))).await;
    let said = timeout(HANG_GUARD, open.streams.recv())
        .await
        .unwrap()
        .unwrap();
    said.send(Bytes::from_static(b"hello")).await.unwrap();
    let all = until(&mut stream, "5\r\nhello\r\n").await;
    let (first, second) = all.split_once("/first").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(second.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(second.contains("transfer-encoding: chunked\r\n"), "{all}");
    assert!(second.contains("connection: close\r\n"), "{all}");
    drop(said);
    let end = until(&mut stream, "0\r\n\r\n").await;
    assert_eq!(end, "0\r\n\r\n");
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_disconnect_is_noticed_immediately() {
    let mut open = open(|_| {});
    let mut stream = connect(open.address).await;
    ask(&mut stream, &get("/stream")).await;
    let said = timeout(HANG_GUARD, open.streams.recv())
        .await
        .unwrap()
        .unwrap();
    until(&mut stream, "\r\n\r\n").await;
    drop(stream);
    timeout(HANG_GUARD, said.closed()).await.expect("noticed");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let mut open = open(|_| {});
    let mut stream = connect(open.address).await;
    ask(&mut stream, &get("/stream")).await;
    let said = timeout(HANG_GUARD, open.streams.recv())
        .await
        .unwrap()
        .unwrap();
    until(&mut stream, "\r\n\r\n").await;
    let start = Instant::now();
    let flood = Bytes::from(vec![b'x'; 1024 * 1024]);
    while said.send(flood.clone()).await.is_ok() {
        assert!(start.elapsed() < HANG_GUARD, "still taken");
    }
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    drop(stream);
}

#[tokio::test]
async fn a_client_that_floods_during_a_stream_is_disconnected() {
    let mut open = open(|_| {});
    let mut stream = connect(open.address).await;
    ask(&mut stream, &get("/stream")).await;
    let said = timeout(HANG_GUARD, open.streams.recv())
        .await
        .unwrap()
        .unwrap();
    until(&mut stream, "\r\n\r\n").await;
    // Another request gets no response and does no harm.
    ask(&mut stream, &get("/more")).await;
    said.send(Bytes::from_static(b"still here")).await.unwrap();
    until(&mut stream, "a\r\nstill here\r\n").await;
    let flood = vec![b'x'; 2 * UNEXPECTED_INPUT_LIMIT];
    let _gone_meanwhile = stream.write_all(&flood).await;
    timeout(HANG_GUARD, said.closed()).await.expect("given up");
}

#[tokio::test]
async fn http10_clients_get_no_chunked_encoding() {
    let mut open = open(|_| {});
    let mut stream = connect(open.address).await;
    let text = "GET /stream HTTP/1.0\r\nhost: localhost\r\n\r\n";
    ask(&mut stream, text).await;
    let said = timeout(HANG_GUARD, open.streams.recv())
        .await
        .unwrap()
        .unwrap();
    said.send(Bytes::from_static(b"plain")).await.unwrap();
    let answer = until(&mut stream, "plain").await;
    assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
    assert!(!answer.contains("chunked"), "{answer}");
}
