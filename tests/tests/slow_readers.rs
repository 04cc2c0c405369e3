//! Clients that read slowly while a server sends without end: the process holds little of it, and others are served.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use http::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill};
use toolgate_tests::notification_flood::{FloodTransport, NotificationFlood, notification_event};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Streams that are read slowly.
const STREAMS: usize = 100;
/// Bytes that each client reads in a second.
const RATE: usize = 1_024;
/// Bytes of one event: below the size at which answers count towards a budget.
const EVENT: usize = 48 << 10;
/// Growth of resident memory with all streams, in bytes, on an idle machine; asserted by `make drill`.
const MAX_GROWTH: u64 = 50 << 20;
/// Its growth on any machine. Reading 256 KiB ahead of each reader exceeded it.
const MAX_GROWTH_UNDER_LOAD: u64 = 80 << 20;
/// Receive buffer of a slow client, so that the kernel holds little.
const BUFFER: u32 = 4_096;

/// Time of a flood.
fn flood_time() -> Duration {
    Duration::from_secs(if is_drill() { 30 } else { 5 })
}

/// Opens a connection with a small buffer and sends a request. Nothing is read.
async fn send_unread(
    to: SocketAddr,
    line: &str,
    headers: &HeaderMap,
    body: &str,
) -> Result<TcpStream> {
    let mut text = format!(
        "{line} HTTP/1.1\r\nHost: {to}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text += &format!("{name}: {}\r\n", value.to_str()?);
    }
    text += &format!("\r\n{body}");
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(text.as_bytes()).await?;
    Ok(stream)
}

/// Reads at [`RATE`] until the connection ends.
async fn read_slowly(mut stream: TcpStream) -> Result<()> {
    let mut buffer = [0; RATE];
    while stream.read(&mut buffer).await? > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Lets clients call a tool that sends events without end, and read its stream slowly.
async fn read_streams(up: &ToolgateUp, agent: &Agent, count: usize) -> Result<JoinSet<Result<()>>> {
    let progress =
        json!({"progressToken": "TOKEN", "progress": "NUMBER", "message": "x".repeat(EVENT)});
    let text = notification_event("notifications/progress", &progress);
    let arguments = json!({"text": text, "seconds": 600});
    let mut readers = JoinSet::new();
    for _ in 0..count {
        let params =
            json!({"name": "say", "arguments": arguments, "_meta": {"progressToken": "slow"}});
        let frame = agent.frame("tools/call", params).to_string();
        let headers = agent.headers("tools/call", Some("say"))?;
        let stream = send_unread(up.mcp(), "POST /v1/mcp/main", &headers, &frame).await?;
        readers.spawn(read_slowly(stream));
    }
    Ok(readers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_slow_readers_of_endless_streams_use_little_memory() {
    let sandbox = Sandbox::new("slow-readers").unwrap();
    let server = NotificationFlood::start(FloodTransport::Modern)
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &server.url(), "single").await.unwrap();
    let agent = Agent::modern(&up.url("main"), &token);
    agent.call("say", json!({})).await.unwrap();
    let warm = read_streams(&up, &agent, 5).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(warm);
    up.wait_until_idle().await.unwrap();
    let before = up.process().resident().unwrap();
    up.process().reset_peak().unwrap();
    let sent = server.messages_sent();
    let readers = read_streams(&up, &agent, STREAMS).await.unwrap();
    eventually("each stream sends", HANG_GUARD, || async {
        let sent = server.messages_sent() - sent;
        anyhow::ensure!(sent >= u64::try_from(2 * STREAMS)?, "{sent} events");
        Ok(())
    })
    .await
    .unwrap();
    sleep(flood_time()).await;
    agent.call("say", json!({})).await.unwrap();
    let grown = up.process().peak().unwrap().saturating_sub(before);
    let sent = server.messages_sent() - sent;
    println!("{sent} events of {EVENT} bytes, {grown} bytes more");
    let limit = if is_drill() {
        MAX_GROWTH
    } else {
        MAX_GROWTH_UNDER_LOAD
    };
    assert!(grown <= limit, "{grown} bytes more");
    drop(readers);
    up.wait_until_idle().await.unwrap();
}
