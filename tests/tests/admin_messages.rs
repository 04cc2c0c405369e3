//! Messages of the admin API that are compressed, deep, or longer than they may be: each is refused, and the process holds
//! little of them.

use anyhow::{Context, Result, ensure};
use async_compression::tokio::bufread::GzipEncoder;
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;
use toolgate_tests::clock::HANG_GUARD;
use toolgate_tests::http_client::socket;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Requests of each message at a time.
const PARALLEL: usize = 64;
/// Growth of resident memory, in bytes.
const MAX_GROWTH: u64 = 20 << 20;
/// Bytes that a compressed message expands to.
const EXPANDED: usize = 64 << 20;
/// Status of a caller without a token, in the numbers of gRPC.
const UNAUTHENTICATED: u32 = 16;

/// Message in the frame of gRPC, and how it says that it is compressed.
struct AdminMessage {
    name: &'static str,
    frame: Bytes,
    encoding: Option<&'static str>,
    /// Statuses of the refusal.
    statuses: &'static [u32],
}

fn frame(compressed: u8, length: usize, payload: &[u8]) -> Result<Bytes> {
    let length = u32::try_from(length)?.to_be_bytes();
    Ok([&[compressed], length.as_slice(), payload].concat().into())
}

async fn messages() -> Result<Vec<AdminMessage>> {
    let mut bomb = Vec::new();
    let zeros = vec![0; EXPANDED];
    GzipEncoder::new(zeros.as_slice())
        .read_to_end(&mut bomb)
        .await?;
    // Groups that begin and do not end: the format nests them.
    let deep = vec![0x0b; 128 << 10];
    let large = vec![0x0a; 5 << 20];
    let of = |name, frame, encoding, statuses| AdminMessage {
        name,
        frame,
        encoding,
        statuses,
    };
    Ok(vec![
        of(
            "compressed",
            frame(1, bomb.len(), &bomb)?,
            Some("gzip"),
            &[12],
        ),
        of(
            "compressed, which is not said",
            frame(1, bomb.len(), &bomb)?,
            None,
            &[13],
        ),
        of("deep", frame(0, deep.len(), &deep)?, None, &[3, 13]),
        of("large", frame(0, large.len(), &large)?, None, &[8, 11]),
        of(
            "longer than it is",
            frame(0, 0xffff_ffff, &[0; 64])?,
            None,
            &[8, 11],
        ),
    ])
}

/// Sends a message as the request of a list. Returns the status of gRPC.
async fn send(up: &ToolgateUp, token: &str, message: &AdminMessage) -> Result<u32> {
    let builder = http2::Builder::new(TokioExecutor::new());
    let stream = socket(up.admin()).await?;
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let url = format!(
        "http://{}/toolgate.admin.v1.Servers/ListServers",
        up.admin()
    );
    let mut request = Request::post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(encoding) = message.encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request.body(Full::new(message.frame.clone()))?;
    let reply = timeout(HANG_GUARD, sender.send_request(request)).await??;
    let status = reply
        .headers()
        .get("grpc-status")
        .context("no status in the head")?;
    Ok(status.to_str()?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_deep_and_oversized_messages_of_the_admin_api_are_refused_and_use_little_memory()
{
    let sandbox = Sandbox::new("admin-messages").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = std::fs::read_to_string(up.data().join("admin-token")).unwrap();
    let messages = messages().await.unwrap();
    // The first round warms the process up.
    for parallel in [4, PARALLEL] {
        let before = up.process().resident().unwrap();
        up.process().reset_peak().unwrap();
        for message in &messages {
            for (token, statuses) in [
                ("", [UNAUTHENTICATED].as_slice()),
                (token.trim(), message.statuses),
            ] {
                let sent = (0..parallel).map(|_| send(&up, token, message));
                for status in try_join_all(sent).await.unwrap() {
                    assert!(statuses.contains(&status), "{}: {status}", message.name);
                }
            }
        }
        let grown = up.process().peak().unwrap().saturating_sub(before);
        println!("{parallel} at a time: {grown} bytes more");
        assert!(
            parallel < PARALLEL || grown <= MAX_GROWTH,
            "{grown} bytes more"
        );
    }
    let cli = up.cli().unwrap();
    let listed = cli.run(&["get", "servers"]).await;
    listed
        .and_then(|listed| {
            ensure!(!listed.stdout.is_empty(), "no servers");
            Ok(())
        })
        .unwrap();
}
