//! Floods of HTTP/2 frames that look like requests: the listener closes the connection, others are served, and memory
//! stays bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, is_drill, now};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Steps of a flood within which the listener has to close the connection. A step is a request or a frame of 16 KiB.
const MAX_STEPS: u32 = 20_000;
/// Connections of each flood, one after the other.
const CONNECTIONS: usize = 10;
/// Bound on the growth of resident memory in a flood, in bytes.
const MAX_GROWTH: u64 = 20 * 1024 * 1024;
/// Calls whose median time is compared.
const CALLS: usize = 50;
/// Largest ratio of the median times beside a flood and without one; asserted by `make drill`.
const MAX_RATIO: f64 = 1.5;
/// Largest share of a processor that heads may take, relative to the time of their sender; asserted by `make drill`.
const MAX_SHARE: f64 = 0.5;
/// Maximum size of a frame that a server accepts by default.
const FRAME: usize = 16 * 1024;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Frames of one step, by its number.
type FloodStep = fn(u32) -> Vec<u8>;

/// Encodes one frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    let head = [&[a, b, c, kind, flags], stream.to_be_bytes().as_slice()].concat();
    [head.as_slice(), payload].concat()
}

/// Encodes the head of a request without compression (RFC 7541, section 6.2.2).
fn head() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, "/v1/mcp/demo"), (1, "localhost")] {
        let [length, ..] = value.len().to_le_bytes();
        block.extend([name, length]);
        block.extend(value.as_bytes());
    }
    block
}

/// Id of the stream of a step.
fn stream_of(step: u32) -> u32 {
    2 * step + 1
}

/// Requests that the client resets at once (CVE-2023-44487).
fn client_reset(step: u32) -> Vec<u8> {
    let stream = stream_of(step);
    let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    [frame(HEADERS, END_HEADERS, stream, &head()), cancel].concat()
}

/// Requests that the server has to reset, because a frame of them is invalid (CVE-2025-8671).
fn server_reset(step: u32) -> Vec<u8> {
    let stream = stream_of(step);
    let invalid = frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes());
    [frame(HEADERS, END_HEADERS, stream, &head()), invalid].concat()
}

/// One head that does not end (CVE-2024-27316).
fn endless_head(step: u32) -> Vec<u8> {
    if step == 0 {
        return frame(HEADERS, 0, 1, &head());
    }
    let header = [0, 1, b'a', 1, b'b'];
    frame(CONTINUATION, 0, 1, &header.repeat(FRAME / header.len()))
}

/// Heads that expand: one header of 3,900 bytes in the table of the connection, which each head names 10,000 times.
fn expanding_head(step: u32) -> Vec<u8> {
    let mut block = head();
    if step == 0 {
        block.extend([0x40, 1, b'a']);
        // Length 3,900 with a prefix of seven bits (RFC 7541, section 5.1).
        block.extend([0x7f, 0xbd, 0x1d]);
        block.extend([b'x'; 3_900]);
    } else {
        block.extend([0xbe; 10_000]);
    }
    frame(HEADERS, END_HEADERS | END_STREAM, stream_of(step), &block)
}

/// Sends a flood until the listener closes the connection. Returns the number of steps, and `true` if it was closed.
#[expect(
    clippy::disallowed_methods,
    reason = "an attacker opens plain connections"
)]
async fn flood(address: SocketAddr, step: FloodStep, steps: u32) -> Result<(u32, bool)> {
    let (mut input, mut output) = TcpStream::connect(address).await?.into_split();
    let closed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&closed);
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; FRAME];
        while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        seen.store(true, Ordering::Relaxed);
    });
    let settings = frame(4, 0, 0, &[]);
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings.as_slice()].concat();
    output.write_all(&preface).await?;
    let mut number = 0;
    while number < steps && !closed.load(Ordering::Relaxed) {
        let frames = step(number);
        let writing = timeout(HANG_GUARD, output.write_all(&frames));
        if writing.await.context("the listener reads on")?.is_err() {
            break;
        }
        number += 1;
    }
    if number == steps {
        reading.abort();
        return Ok((number, false));
    }
    timeout(HANG_GUARD, reading)
        .await
        .context("the end is read")??;
    Ok((number, true))
}

/// Median time of calls, one after the other.
async fn median_call(agent: &Agent) -> Result<Duration> {
    let arguments = json!({"text": "hello"});
    agent.median_call("demo__echo", &arguments, CALLS).await
}

/// Median time of calls beside a flood that goes on, connection after connection.
async fn median_beside(
    agent: &Agent,
    address: SocketAddr,
    step: FloodStep,
    steps: u32,
) -> Result<Duration> {
    let flooding = async {
        loop {
            if let Err(error) = flood(address, step, steps).await {
                return error;
            }
        }
    };
    tokio::select! {
        median = median_call(agent) => median,
        error = flooding => Err(error),
    }
}

/// Floods a listener from several connections. Other clients are served after each, and memory and processor time stay
/// bounded.
async fn check(
    up: &mut ToolgateUp,
    address: SocketAddr,
    name: &str,
    step: FloodStep,
) -> Result<String> {
    let token = std::fs::read_to_string(up.data().join("demo-token"))?;
    let agent = Agent::modern(&up.url("demo"), token.trim());
    let expands = name == "expanding heads";
    let steps = if expands { 200 } else { MAX_STEPS };
    flood(address, step, steps).await?;
    let alone = median_call(&agent).await?;
    let before = up.process().resident()?;
    let (mut most, start, spent) = (0, now(), up.process().cpu_time()?);
    for _ in 0..CONNECTIONS {
        let (number, closed) = flood(address, step, steps).await?;
        ensure!(closed || expands, "still open after {number} steps");
        most = most.max(number);
        agent.call("demo__echo", json!({"text": "served"})).await?;
    }
    let spent = up.process().cpu_time()?.saturating_sub(spent);
    let share = spent.as_secs_f64() / start.elapsed().as_secs_f64();
    let growth = up.process().resident()?.saturating_sub(before);
    ensure!(growth < MAX_GROWTH, "{growth} bytes more");
    let beside = median_beside(&agent, address, step, steps).await?;
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    ensure!(
        !is_drill() || ratio <= MAX_RATIO,
        "a call beside: {ratio:.2}"
    );
    let of_heads = name.ends_with("head") || name.ends_with("heads");
    ensure!(
        !is_drill() || !of_heads || share <= MAX_SHARE,
        "{share:.2} of a processor"
    );
    Ok(format!(
        "{name} at {address}: at most {most} steps, {growth} bytes more, {share:.2} of a processor; \
         a call {alone:?}, beside {beside:?} ({ratio:.2})"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http2_requests_close_their_connection_and_use_bounded_memory() {
    let sandbox = Sandbox::new("h2-floods").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let floods: [(&str, FloodStep); 4] = [
        ("resets by the client", client_reset),
        ("resets by the server", server_reset),
        ("an endless head", endless_head),
        ("expanding heads", expanding_head),
    ];
    for (name, step) in floods {
        for address in [up.mcp(), up.admin()] {
            let checked = check(&mut up, address, name, step).await;
            let figures = checked.unwrap_or_else(|error| panic!("{name} at {address}: {error:#}"));
            println!("{figures}");
        }
    }
}
