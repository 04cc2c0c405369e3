//! Servers that say far too much, against the real process: what clients are told of it, and what it costs.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::now;
use toolgate_tests::flood::{Flood, MESSAGES};
use toolgate_tests::hearing::Hearing;
use toolgate_tests::http::Http;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::Up;

const TOOLS: &str = "notifications/tools/list_changed";
/// Longer than it takes until changes made before are told.
const QUIET: Duration = Duration::from_secs(3);

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
    let mut hearings = [modern.hear().await.unwrap(), legacy.hear().await.unwrap()];
    let time = Duration::from_secs(10);
    let (before, read) = (up.process().spent().unwrap(), flood.lists());
    tokio::time::sleep(time).await;
    let spent = up.process().spent().unwrap().saturating_sub(before);
    let read = flood.lists() - read;
    for hearing in &mut hearings {
        let changed = hearing.count(TOOLS);
        assert!((1..=20).contains(&changed), "{changed} times");
    }
    assert!(spent < time / 10, "{spent:?} of processor time");
    assert!(flood.announced() > 1_000, "a flood: {}", flood.announced());
    assert!(read <= 20, "read {read} times");
    // And what comes after it is heard of.
    flood.calm();
    tokio::time::sleep(QUIET).await;
    for hearing in &mut hearings {
        hearing.count(TOOLS);
    }
    flood.change();
    for hearing in &mut hearings {
        hearing.next(TOOLS, time).await.unwrap();
    }
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
        let answer = Http::default().open(call).await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        let time = Duration::from_secs(120);
        let heard = Hearing::of(answer).to_end(time).await.unwrap();
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
