//! Frames that are far too large, wide or deep, ten at a time, against the real process: what it costs in time and memory
//! is measured from outside. The memory has an absolute bound in every run, since it does not depend on the load of the machine. The
//! time is compared with that of frames that are answered, and has an absolute bound in `make drill`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::{Body, Bytes};
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now};
use toolgate_tests::http_client::socket;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

const MAX_BODY: usize = 4 << 20;
const PARALLEL: usize = 10;
/// Bytes that are written at once.
const WRITE_SIZE: usize = 64 << 10;
/// Maximum time of a rejection; asserted by `make drill`.
const MAX_REJECTION_TIME: Duration = Duration::from_millis(100);

/// Attempts before the time counts, because other processes may use the machine.
const ATTEMPTS: usize = 5;

/// Maximum time of a rejection in any run, as a multiple of the time of the largest frame that is answered. A reader that
/// builds a value of the frame, or scans it once per level, takes longer.
const TIMES: u32 = 4;

/// A body, and whether its length is said ahead of it.
#[derive(Clone)]
struct GiantRequest {
    what: &'static str,
    body: Vec<u8>,
    length: bool,
    status: u16,
    code: i64,
}

fn giants() -> Vec<GiantRequest> {
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

/// Sends it, as fast as it is taken, and reads what comes: the answer, and how long that took since the first byte, or since
/// the first byte that is too many.
async fn refused(up: &ToolgateUp, token: &str, giant: &GiantRequest) -> Result<(String, Duration)> {
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
    // Dropped with this, and the connection with it.
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
        // Kept open, because a rejected client still reads.
        Ok::<_, std::io::Error>(to)
    });
    let mut answer = Vec::new();
    let mut piece = vec![0; 16 << 10];
    loop {
        let read = tokio::time::timeout(HANG_GUARD, from.read(&mut piece)).await;
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

fn is_as_expected(giant: &GiantRequest, answer: &str) -> Result<()> {
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
    eventually("it serves", HANG_GUARD, || agent.echo("echo", "hi"))
        .await
        .unwrap();
    let before = up.process().resident().unwrap();
    up.process().reset_peak().unwrap();
    // As large as may pass: these are answered.
    let large = "x".repeat(MAX_BODY - 4096);
    let began = now();
    let params = json!({"name": "echo", "arguments": {"message": large}});
    // Made once, ahead: a client that opens connections and then makes what it sends on them may be too late for the gateway.
    let frame = Bytes::from(agent.frame("tools/call", params).to_string());
    let headers = agent.headers("tools/call", Some("echo")).unwrap();
    let answered = (0..PARALLEL).map(|_| {
        let body = Body::from(frame.clone());
        agent.raw(Method::POST, body, headers.clone(), &[])
    });
    for answer in join_all(answered).await {
        let answer = answer.unwrap();
        assert!(answer.status.is_success(), "{}", answer.status);
        assert!(answer.text().contains(&large), "it is echoed");
    }
    let most = if is_drill() {
        MAX_REJECTION_TIME
    } else {
        began.elapsed() * TIMES
    };
    for giant in giants() {
        let mut slowest = Duration::MAX;
        for _attempt in 0..ATTEMPTS {
            let all = (0..PARALLEL).map(|_| refused(&up, &token, &giant));
            let all = join_all(all).await;
            slowest = Duration::ZERO;
            for one in all {
                let (answer, took) = one.unwrap();
                is_as_expected(&giant, &answer).unwrap();
                slowest = slowest.max(took);
            }
            if slowest <= most {
                break;
            }
        }
        let what = giant.what;
        assert!(slowest <= most, "{what}: {slowest:?} of {most:?}");
    }
    let grown = up.process().peak().unwrap().saturating_sub(before);
    let most = 4 * MAX_BODY * PARALLEL;
    assert!(grown <= u64::try_from(most).unwrap(), "{} MiB", grown >> 20);
    agent.echo("echo", "well").await.unwrap();
    let counts = server.counts().await.unwrap();
    let echoed = counts.tools.get("echo").copied().unwrap_or_default();
    assert!(echoed <= u64::try_from(PARALLEL).unwrap() + 10, "{echoed}");
}
