//! Servers that say far too much, against the real process: what clients are told of it, and what it costs.

use std::time::Duration;

use anyhow::{Result, ensure};
use axum::body::Body;
use futures_util::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::now;
use toolgate_tests::flood::{Flood, MESSAGES};
use toolgate_tests::http::Http;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::Up;

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
