//! Too much of everything, of clients and of servers, against the real process: what it costs in time, memory and
//! processor is measured from outside.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{eventually, now};
use toolgate_tests::flood::{Flood, MESSAGES};
use toolgate_tests::http::{Http, socket};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::toolgate::Up;

const CAP: usize = 4 << 20;
const PARALLEL: usize = 10;
const SOON: Duration = Duration::from_secs(10);

/// How long a refusal may take.
const PROMPT: Duration = Duration::from_millis(100);

/// How often all of it is tried before the time counts: others may be using the machine.
const ATTEMPTS: usize = 5;

/// A body, and whether its length is said ahead of it.
#[derive(Clone)]
struct Giant {
    what: &'static str,
    body: Vec<u8>,
    length: bool,
    status: u16,
    code: i64,
}

fn giants() -> Vec<Giant> {
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
    let giant = |what, body: String, length, status, code| Giant {
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

/// Sends it, as fast as it is taken, and reads what comes: the answer, and how long that took.
async fn refused(up: &Up, token: &str, giant: &Giant) -> Result<(String, Duration)> {
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
    let start = now();
    let sending = tokio::spawn(async move {
        to.write_all(head.as_bytes()).await?;
        for piece in body.chunks(64 << 10) {
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
        // Kept open: who is refused still reads.
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
    let took = start.elapsed();
    sending.abort();
    Ok((String::from_utf8_lossy(&answer).into_owned(), took))
}

fn is_as_expected(giant: &Giant, answer: &str) -> Result<()> {
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
async fn ov_04_what_is_giant_wide_or_deep_is_refused_within_its_time_and_memory() {
    let sandbox = Sandbox::new("giants").unwrap();
    let server = Server::fixture(&sandbox, "fixture", &[]).await.unwrap();
    let mut up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", server.url(), "single").await.unwrap();
    let agent = Agent::modern(&up.url("main"), &token);
    eventually("it serves", SOON, || agent.echo("echo", "hi"))
        .await
        .unwrap();
    let before = up.process().resident().unwrap();
    up.process().forget_peak().unwrap();
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
            if slowest <= PROMPT {
                break;
            }
        }
        assert!(slowest <= PROMPT, "{}: {slowest:?}", giant.what);
    }
    // As large as may pass: these are answered.
    let large = "x".repeat(CAP - 4096);
    let large = (0..PARALLEL).map(|_| agent.echo("echo", &large));
    for echoed in join_all(large).await {
        echoed.unwrap();
    }
    let grown = up.process().peak().unwrap().saturating_sub(before);
    let most = 4 * CAP * PARALLEL;
    assert!(grown <= u64::try_from(most).unwrap(), "{} MiB", grown >> 20);
    agent.echo("echo", "well").await.unwrap();
    let counts = server.counts().await.unwrap();
    let echoed = counts.tools.get("echo").copied().unwrap_or_default();
    assert!(echoed <= u64::try_from(PARALLEL).unwrap() + 10, "{echoed}");
}

/// All that a stream says until it ends or the time is over.
async fn listened(request: Request<Body>, time: Duration) -> Result<Vec<Value>> {
    let answer = Http::default().open(request).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let mut body = Body::new(answer).into_data_stream();
    let (start, mut text) = (now(), String::new());
    loop {
        let left = time.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, body.next()).await {
            Ok(Some(piece)) => text.push_str(std::str::from_utf8(&piece?)?),
            Ok(None) | Err(_) => break,
        }
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.map(|data| Ok(serde_json::from_str(data)?)).collect()
}

fn of<'a>(messages: &'a [Value], method: &str) -> Vec<&'a Value> {
    let of = |message: &&Value| message.get("method") == Some(&json!(method));
    messages.iter().filter(of).collect()
}

/// Both eras listen for ten seconds to a server whose list changes, as it says, ten thousand times a second.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_announcements_without_end_are_told_few_times_and_cost_little() {
    let sandbox = Sandbox::new("announcements").unwrap();
    let flood = Flood::start().await.unwrap();
    let mut up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &flood.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let legacy = Agent::legacy(&up.url("main"), &token).await.unwrap();
    let time = Duration::from_secs(10);
    let frame = modern.frame(
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let mut listen = Request::post(up.url("main"))
        .body(Body::from(frame.to_string()))
        .unwrap();
    *listen.headers_mut() = modern.headers("subscriptions/listen", None).unwrap();
    let mut stream = Request::get(up.url("main")).body(Body::empty()).unwrap();
    *stream.headers_mut() = legacy.headers("", None).unwrap();
    let before = up.process().spent().unwrap();
    let (one, two) = tokio::join!(listened(listen, time), listened(stream, time));
    let spent = up.process().spent().unwrap().saturating_sub(before);
    for heard in [one.unwrap(), two.unwrap()] {
        let changed = of(&heard, "notifications/tools/list_changed").len();
        assert!((1..=20).contains(&changed), "{changed} times");
    }
    assert!(spent < time / 10, "{spent:?} of processor time");
    assert!(flood.announced() > 1_000, "a flood: {}", flood.announced());
    assert!(flood.lists() <= 20, "read {} times", flood.lists());
}

/// Both eras call a tool that tells of its progress and logs a hundred thousand times in ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_progress_and_logs_without_end_are_thinned_and_the_last_progress_arrives() {
    let sandbox = Sandbox::new("chatter").unwrap();
    let flood = Flood::start().await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &flood.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let legacy = Agent::legacy(&up.url("main"), &token).await.unwrap();
    let called = async |agent: &Agent| {
        let level = "io.modelcontextprotocol/logLevel";
        let meta = json!({"progressToken": "mine", level: "info"});
        let params = json!({"name": "chatty", "arguments": {}, "_meta": meta});
        let frame = agent.frame("tools/call", params);
        let mut call = Request::post(up.url("main"))
            .body(Body::from(frame.to_string()))
            .unwrap();
        *call.headers_mut() = agent.headers("tools/call", Some("chatty")).unwrap();
        let start = now();
        let heard = listened(call, Duration::from_secs(120)).await.unwrap();
        (heard, start.elapsed().as_secs() + 1)
    };
    let (one, two) = tokio::join!(called(&modern), called(&legacy));
    for (heard, seconds) in [one, two] {
        let last = heard.last().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "done", "{last}");
        let progress = of(&heard, "notifications/progress");
        let progress: Vec<u64> = progress
            .iter()
            .map(|told| told["params"]["progress"].as_u64().unwrap())
            .collect();
        assert!(progress.is_sorted_by(|one, next| one < next));
        assert_eq!(
            progress.last(),
            Some(&MESSAGES),
            "the last before the answer"
        );
        let told = u64::try_from(progress.len()).unwrap();
        assert!(told > 100 && told <= 50 * seconds + 101, "{told}");
        let logs = of(&heard, "notifications/message");
        let (notes, logs): (Vec<&Value>, Vec<&Value>) = logs
            .into_iter()
            .partition(|log| log["params"]["logger"] == "toolgate");
        let passed = u64::try_from(logs.len()).unwrap();
        assert!(passed > 500 && passed <= 100 * seconds + 500, "{passed}");
        assert!(u64::try_from(notes.len()).unwrap() <= seconds + 1);
        let left_out = notes.iter().map(|note| {
            let words = note["params"]["data"].as_str().unwrap_or_default();
            words
                .split(' ')
                .next()
                .unwrap_or_default()
                .parse::<u64>()
                .unwrap()
        });
        assert_eq!(
            left_out.sum::<u64>() + passed,
            MESSAGES,
            "all are accounted for"
        );
    }
}
