//! Requests that are far too large, wide or deep, ten at a time, with the real process: time and memory are measured
//! from outside.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{eventually, now};
use toolgate_tests::http_client::socket;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

const MAX_BODY: usize = 4 << 20;
const PARALLEL: usize = 10;
/// Bytes per write.
const WRITE_SIZE: usize = 64 << 10;
const SOON: Duration = Duration::from_secs(10);

/// Limit of the time to a rejection.
const MAX_REJECTION_TIME: Duration = Duration::from_millis(100);

/// Attempts before the time counts: other processes may use the machine.
const ATTEMPTS: usize = 5;

/// A body, and `true` if its length is announced.
#[derive(Clone)]
struct GiantRequest {
    what: &'static str,
    body: Vec<u8>,
    length: bool,
    status: u16,
    code: i64,
}

fn giant_requests() -> Vec<GiantRequest> {
    let head =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":"#;
    let many = format!(
        "{head}[{}]}}}}",
        vec![r#"{"a":0}"#; (16 << 20) / 8].join(",")
    );
    let deep = format!("{head}{}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_objects = format!(
        "{head}{}0{}}}}}",
        r#"{"a":"#.repeat(100_000),
        "}".repeat(100_000)
    );
    let members: Vec<String> = (0..300_000).map(|n| format!("\"m{n}\":0")).collect();
    let wide = format!("{{{}}}", members.join(","));
    let wide_params =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{wide}}}"#);
    let open = format!("{head}{}", r#"{"a":"#.repeat(600_000));
    let giant = |what, body: String, length, status, code| GiantRequest {
        what,
        body: body.into_bytes(),
        length,
        status,
        code,
    };
    vec![
        giant("16 MiB, as it says", many.clone(), true, 413, 0),
        giant("16 MiB, which it does not say", many, false, 413, 0),
        giant("100,000 arrays deep", deep, true, 400, -32700),
        giant("100,000 objects deep", deep_objects, true, 400, -32700),
        giant("300,000 members of a frame", wide, true, 400, -32600),
        giant("300,000 members of params", wide_params, true, 400, -32600),
        giant("3.6 MiB that never close", open, false, 400, -32700),
    ]
}

/// Sends the body as fast as possible and reads the response. Returns it with the time since the first byte, or since
/// the first excess byte.
async fn send_giant(
    up: &ToolgateUp,
    token: &str,
    giant: &GiantRequest,
) -> Result<(String, Duration)> {
    let length = if giant.length {
        format!("Content-Length: {}", giant.body.len())
    } else {
        "Transfer-Encoding: chunked".to_owned()
    };
    let head = format!(
        "POST /v1/mcp/main HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{length}\r\n\r\n",
        up.mcp()
    );
    let stream = socket(up.mcp()).await?;
    let (mut from, mut to) = stream.into_split();
    let (body, said) = (giant.body.clone(), giant.length);
    let (begins, began) = tokio::sync::watch::channel(now());
    // Dropped with this value, together with the connection.
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        to.write_all(head.as_bytes()).await?;
        for (number, piece) in body.chunks(WRITE_SIZE).enumerate() {
            if !said && number * WRITE_SIZE <= MAX_BODY {
                begins.send_replace(now());
            }
            if !said {
                to.write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                    .await?;
            }
            to.write_all(piece).await?;
            if !said {
                to.write_all(b"\r\n").await?;
            }
        }
        if !said {
            to.write_all(b"0\r\n\r\n").await?;
        }
        // Kept open: a rejected client still reads.
        Ok::<_, std::io::Error>(to)
    });
    let mut answer = Vec::new();
    let mut piece = vec![0; 16 << 10];
    loop {
        let read = tokio::time::timeout(SOON, from.read(&mut piece)).await;
        let read = read.context("no answer")?.unwrap_or(0);
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        if read == 0 || text.contains("\"message\"") {
            break;
        }
    }
    let took = began.borrow().elapsed();
    Ok((String::from_utf8_lossy(&answer).into_owned(), took))
}

fn check_rejection(giant: &GiantRequest, answer: &str) -> Result<()> {
    let what = giant.what;
    let status = format!("HTTP/1.1 {} ", giant.status);
    ensure!(answer.starts_with(&status), "{what}: {answer}");
    let code = format!("\"code\":{}", giant.code);
    ensure!(
        giant.code == 0 || answer.contains(&code),
        "{what}: {answer}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ov_04_giant_wide_and_deep_requests_are_rejected_within_time_and_memory_limits() {
    let sandbox = Sandbox::new("giants").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", server.url(), "single").await.unwrap();
    let agent = Agent::modern(&up.url("main"), &token);
    eventually("it serves", SOON, || agent.echo("echo", "hi"))
        .await
        .unwrap();
    let before = up.process().resident().unwrap();
    up.process().reset_peak().unwrap();
    for giant in giant_requests() {
        let mut slowest = Duration::MAX;
        for _attempt in 0..ATTEMPTS {
            let all = (0..PARALLEL).map(|_| send_giant(&up, &token, &giant));
            let all = join_all(all).await;
            slowest = Duration::ZERO;
            for one in all {
                let (answer, took) = one.unwrap();
                check_rejection(&giant, &answer).unwrap();
                slowest = slowest.max(took);
            }
            if slowest <= MAX_REJECTION_TIME {
                break;
            }
        }
        assert!(slowest <= MAX_REJECTION_TIME, "{}: {slowest:?}", giant.what);
    }
    // The largest allowed bodies are served.
    let large = "x".repeat(MAX_BODY - 4096);
    let large = (0..PARALLEL).map(|_| agent.echo("echo", &large));
    for echoed in join_all(large).await {
        echoed.unwrap();
    }
    let grown = up.process().peak().unwrap().saturating_sub(before);
    let most = 4 * MAX_BODY * PARALLEL;
    assert!(grown <= u64::try_from(most).unwrap(), "{} MiB", grown >> 20);
    agent.echo("echo", "well").await.unwrap();
    let counts = server.counts().await.unwrap();
    let echoed = counts.tools.get("echo").copied().unwrap_or_default();
    assert!(echoed <= u64::try_from(PARALLEL).unwrap() + 10, "{echoed}");
}
