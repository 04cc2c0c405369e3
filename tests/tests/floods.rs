//! Servers that send far too many messages, with the real process: notifications that reach clients, and the cost.
#![expect(clippy::unwrap_used, reason = "scenarios")]
#![expect(clippy::print_stdout, reason = "figures, for who measures a build")]

use std::time::Duration;

use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::now;
use toolgate_tests::flood::{Flood, MESSAGES};
use toolgate_tests::hearing::Hearing;
use toolgate_tests::hose::{self, Hose, Manner, RATE};
use toolgate_tests::http::Http;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::Up;

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";
/// Delay until a configuration change is effective.
const SETTLED: Duration = Duration::from_secs(1);
/// Longer than the delay of earlier change notifications.
const QUIET: Duration = Duration::from_secs(3);

fn of<'a>(messages: &'a [Value], method: &str) -> Vec<&'a Value> {
    let of = |message: &&Value| message.get("method") == Some(&json!(method));
    messages.iter().filter(of).collect()
}

/// Clients of both eras listen for ten seconds to a server that announces a list change ten thousand times a second.
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
    // Later changes are still notified.
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

/// Clients of both eras call a tool that sends a hundred thousand progress and log messages in ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_progress_and_logs_without_end_are_thinned_and_the_last_progress_arrives() {
    let sandbox = Sandbox::new("chatter").unwrap();
    let flood = Flood::start().await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &flood.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let legacy = Agent::legacy(&up.url("main"), &token).await.unwrap();
    let (one, two) = tokio::join!(
        called(&modern, &up, "chatty", json!({})),
        called(&legacy, &up, "chatty", json!({})),
    );
    for (heard, seconds) in [one, two] {
        let last = heard.last().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "done", "{last}");
        let progress = progress(&heard);
        assert!(progress.is_sorted_by(|one, next| one < next));
        assert_eq!(
            progress.last(),
            Some(&MESSAGES),
            "the last before the answer"
        );
        let told = u64::try_from(progress.len()).unwrap();
        assert!(told > BURST && told <= most(seconds), "{told}");
        let (told, passed, left_out) = logs(&heard);
        assert!(told > BURST && told <= most(seconds), "{told}");
        assert_eq!(left_out + passed, MESSAGES, "all are accounted for");
    }
}

/// Progress or log messages of a call that pass immediately.
const BURST: u64 = 6;

/// Limit of notifications for a flood of this length: twenty in ten seconds.
fn most(seconds: u64) -> u64 {
    BURST + seconds + 2
}

/// Calls a tool that sends progress and log messages. Returns all messages and the duration in seconds.
async fn called(agent: &Agent, up: &Up, tool: &str, arguments: Value) -> (Vec<Value>, u64) {
    let level = "io.modelcontextprotocol/logLevel";
    let meta = json!({"progressToken": "mine", level: "info"});
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let frame = agent.frame("tools/call", params);
    let mut call = Request::post(up.url("main"))
        .body(Body::from(frame.to_string()))
        .unwrap();
    *call.headers_mut() = agent.headers("tools/call", Some(tool)).unwrap();
    let start = now();
    let answer = Http::default().open(call).await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let kind = answer.headers().get(CONTENT_TYPE).cloned().unwrap();
    let heard = if kind == "application/json" {
        let body = Body::new(answer);
        let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        vec![serde_json::from_slice(&whole).unwrap()]
    } else {
        let time = Duration::from_secs(120);
        Hearing::of(answer).to_end(time).await.unwrap()
    };
    (heard, start.elapsed().as_secs() + 1)
}

fn progress(heard: &[Value]) -> Vec<u64> {
    of(heard, "notifications/progress")
        .iter()
        .map(|told| told["params"]["progress"].as_u64().unwrap())
        .collect()
}

/// Number of log messages with a drop notice, number without, and total of dropped messages in the notices.
fn logs(heard: &[Value]) -> (u64, u64, u64) {
    let logs = of(heard, "notifications/message");
    let told = u64::try_from(logs.len()).unwrap();
    let notes = logs
        .iter()
        .filter(|log| log["params"]["logger"] == "toolgate");
    let counts: Vec<u64> = notes
        .map(|note| note["params"]["data"].as_str().unwrap_or_default())
        .map(|words| words.split(' ').next().unwrap_or_default().parse().unwrap())
        .collect();
    let passed = told - u64::try_from(counts.len()).unwrap();
    (told, passed, counts.iter().sum())
}

/// CPU time that a flood may use: a tenth in a release build, a fifth without optimization.
fn affordable(time: Duration) -> Duration {
    if cfg!(debug_assertions) {
        time / 5
    } else {
        time / 10
    }
}

/// Sends two seconds of a flood on long-lived streams, ten thousand messages a second, each in a chunk of its own.
async fn costs(up: &mut Up, hose: &Hose, what: &str, text: &str) {
    let time = Duration::from_secs(2);
    let (before, poured) = (up.process().spent().unwrap(), hose.poured());
    hose.pour(Some(text));
    tokio::time::sleep(time).await;
    let spent = up.process().spent().unwrap().saturating_sub(before);
    hose.pour(None);
    let poured = hose.poured() - poured;
    println!("{what}: {spent:?} of processor time in {time:?}, of {poured}");
    assert!(poured > 1_000, "no flood of {what}: {poured}");
    assert!(spent < affordable(time), "{what}: {spent:?}");
}

/// Each kind of notification on the feed of a modern server with a listening client. Each kind has its own server,
/// since a flooding server is read slowly for some time afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_on_a_feed_cost_little_and_are_told_few_times() {
    let sandbox = Sandbox::new("feeds").unwrap();
    let mut up = Up::start(&sandbox, &[]).await.unwrap();
    let uri = "file:///one";
    let updated = hose::notice(UPDATED, &json!({"uri": uri}));
    let task = json!({"taskId": "nobodys", "status": "working"});
    for (name, text, told) in [
        ("updates", updated.as_str(), 1..=10),
        // The list is unchanged each time.
        ("announcements", &hose::notice(TOOLS, &json!({})), 0..=0),
        ("tasks", &hose::notice("notifications/tasks", &task), 0..=0),
        ("comments", ":\n", 0..=0),
    ] {
        let hose = Hose::start(Manner::Modern).await.unwrap();
        let token = up.expose(name, &hose.url(), "single").await.unwrap();
        let modern = Agent::modern(&up.url(name), &token);
        let filter = json!({"toolsListChanged": true, "resourceSubscriptions": [uri]});
        let mut hearing = modern.hear_of(filter).await.unwrap();
        tokio::time::sleep(SETTLED).await;
        costs(&mut up, &hose, name, text).await;
        let heard = hearing.count(UPDATED) + hearing.count(TOOLS);
        assert!(told.contains(&heard), "{heard} {name}");
    }
}

/// The stream of an upstream session, and the stream of the control plane's own session.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_on_the_stream_of_a_link_cost_little() {
    let sandbox = Sandbox::new("links").unwrap();
    let mut up = Up::start(&sandbox, &[]).await.unwrap();
    let log = json!({"level": "info", "data": "words"});
    let log = hose::notice("notifications/message", &log);
    let ping = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n";
    for (name, text) in [
        ("logs", log.as_str()),
        ("announcements", &hose::notice(TOOLS, &json!({}))),
        ("questions", ping),
        ("comments", ":\n"),
        ("bytes", ":"),
    ] {
        let hose = Hose::start(Manner::Legacy).await.unwrap();
        let token = up.expose(name, &hose.url(), "single").await.unwrap();
        let cli = up.cli().unwrap();
        cli.let_ask(name, &hose.url()).await.unwrap();
        let asked = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let modern = Agent::modern(&up.url(name), &token).declaring(asked);
        tokio::time::sleep(SETTLED).await;
        modern.call("say", json!({})).await.unwrap();
        assert!(hose.streams() >= 2, "{} streams", hose.streams());
        costs(&mut up, &hose, name, text).await;
        modern.call("say", json!({})).await.unwrap();
    }
}

/// The single stream of an HTTP+SSE server (2024-11-05 transport), on which calls are answered continuously.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_on_the_one_stream_of_an_old_server_cost_little_and_no_call_its_answer() {
    let sandbox = Sandbox::new("one-stream").unwrap();
    let hose = Hose::start(Manner::Old).await.unwrap();
    let mut up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &hose.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let log = json!({"level": "info", "data": "words"});
    let log = hose::notice("notifications/message", &log);
    for (what, text) in [
        ("log messages of an old server", log.as_str()),
        ("its comments", ":\n"),
    ] {
        costs(&mut up, &hose, what, text).await;
        hose.pour(Some(text));
        let start = now();
        for _ in 0..10 {
            modern.call("say", json!({})).await.unwrap();
        }
        let took = start.elapsed();
        assert!(took < QUIET, "ten calls took {took:?} among {what}");
        hose.pour(None);
    }
}

/// Calls with floods of progress, log messages or comments, each message in a chunk of its own.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_ahead_of_an_answer_cost_little_and_are_told_few_times() {
    let sandbox = Sandbox::new("calls").unwrap();
    let hose = Hose::start(Manner::Legacy).await.unwrap();
    let mut up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &hose.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let news = json!({"progressToken": "TOKEN", "progress": "NUMBER"});
    let news = hose::notice("notifications/progress", &news);
    let log = json!({"level": "info", "data": "NUMBER"});
    let log = hose::notice("notifications/message", &log);
    let nobodys = hose::notice("notifications/vendor", &json!({}));
    let time = Duration::from_secs(2);
    for (what, text) in [
        ("progress", news.as_str()),
        ("log messages", &log),
        ("what nobody knows", &nobodys),
        ("comments", ":\n"),
    ] {
        let before = up.process().spent().unwrap();
        let arguments = json!({"text": text, "seconds": time.as_secs()});
        let (heard, seconds) = called(&modern, &up, "say", arguments).await;
        let spent = up.process().spent().unwrap().saturating_sub(before);
        println!("{what}: {spent:?} of processor time in {time:?}");
        let last = heard.last().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "said", "{last}");
        let said = RATE * time.as_secs();
        let progress = progress(&heard);
        let (logged, passed, left_out) = logs(&heard);
        match what {
            "progress" => assert_eq!(progress.last(), Some(&said)),
            "log messages" => assert_eq!(passed + left_out, said),
            _ => assert_eq!(heard.len(), 1),
        }
        let told = u64::try_from(progress.len()).unwrap() + logged;
        assert!(told <= most(seconds), "{told} notices of {what}");
        assert!(spent < affordable(time), "{what}: {spent:?}");
    }
}
