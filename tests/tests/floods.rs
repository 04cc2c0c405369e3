//! Servers that send far too many messages, with the real process: notifications that reach clients, and the cost.
#![expect(clippy::unwrap_used, reason = "scenarios")]
#![expect(clippy::print_stdout, reason = "figures, for who measures a build")]

use std::time::Duration;

use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::announcement_server::{AnnouncementServer, MESSAGES};
use toolgate_tests::clock::now;
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::notification_flood::{self, FloodTransport, NotificationFlood, RATE};
use toolgate_tests::notification_stream::NotificationStream;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";
/// Delay until a configuration change is effective.
const CONFIGURATION_DELAY: Duration = Duration::from_secs(1);
/// Longer than the delay of earlier change notifications.
const SETTLE_TIME: Duration = Duration::from_secs(3);

fn with_method<'a>(messages: &'a [Value], method: &str) -> Vec<&'a Value> {
    let of = |message: &&Value| message.get("method") == Some(&json!(method));
    messages.iter().filter(of).collect()
}

/// Clients of both eras listen for ten seconds to a server that announces a list change ten thousand times a second.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_endless_change_notifications_are_limited_and_use_little_cpu() {
    let sandbox = Sandbox::new("announcements").unwrap();
    let flood = AnnouncementServer::start().await.unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &flood.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let legacy = Agent::legacy(&up.url("main"), &token).await.unwrap();
    let mut hearings = [
        modern.listen().await.unwrap(),
        legacy.listen().await.unwrap(),
    ];
    let time = Duration::from_secs(10);
    let (before, read) = (up.process().cpu_time().unwrap(), flood.lists());
    tokio::time::sleep(time).await;
    let spent = up.process().cpu_time().unwrap().saturating_sub(before);
    let read = flood.lists() - read;
    for hearing in &mut hearings {
        let changed = hearing.count(TOOLS);
        assert!((1..=20).contains(&changed), "{changed} times");
    }
    assert!(spent < time / 10, "{spent:?} of processor time");
    assert!(
        flood.announcements_sent() > 1_000,
        "a flood: {}",
        flood.announcements_sent()
    );
    assert!(read <= 20, "read {read} times");
    // Later changes are still notified.
    flood.stop_announcing();
    tokio::time::sleep(SETTLE_TIME).await;
    for hearing in &mut hearings {
        hearing.count(TOOLS);
    }
    flood.announce_change();
    for hearing in &mut hearings {
        hearing.next(TOOLS, time).await.unwrap();
    }
}

/// Clients of both eras call a tool that sends a hundred thousand progress and log messages in ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_endless_progress_and_logs_are_limited_and_the_last_progress_arrives() {
    let sandbox = Sandbox::new("chatter").unwrap();
    let flood = AnnouncementServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &flood.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let legacy = Agent::legacy(&up.url("main"), &token).await.unwrap();
    let (one, two) = tokio::join!(
        call_flood(&modern, &up, "chatty", json!({})),
        call_flood(&legacy, &up, "chatty", json!({})),
    );
    for (heard, seconds) in [one, two] {
        let last = heard.last().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "done", "{last}");
        let progress = progress_values(&heard);
        assert!(progress.is_sorted_by(|one, next| one < next));
        assert_eq!(
            progress.last(),
            Some(&MESSAGES),
            "the last before the answer"
        );
        let told = u64::try_from(progress.len()).unwrap();
        assert!(told > BURST && told <= max_notifications(seconds), "{told}");
        let (told, passed, left_out) = log_counts(&heard);
        assert!(told > BURST && told <= max_notifications(seconds), "{told}");
        assert_eq!(left_out + passed, MESSAGES, "all are accounted for");
    }
}

/// Progress or log messages of a call that pass immediately.
const BURST: u64 = 6;

/// Limit of notifications for a flood of this length: twenty in ten seconds.
fn max_notifications(seconds: u64) -> u64 {
    BURST + seconds + 2
}

/// Calls a tool that sends progress and log messages. Returns all messages and the duration in seconds.
async fn call_flood(
    agent: &Agent,
    up: &ToolgateUp,
    tool: &str,
    arguments: Value,
) -> (Vec<Value>, u64) {
    let level = "io.modelcontextprotocol/logLevel";
    let meta = json!({"progressToken": "mine", level: "info"});
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let frame = agent.frame("tools/call", params);
    let mut call = Request::post(up.url("main"))
        .body(Body::from(frame.to_string()))
        .unwrap();
    *call.headers_mut() = agent.headers("tools/call", Some(tool)).unwrap();
    let start = now();
    let answer = TestHttpClient::default().open(call).await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let kind = answer.headers().get(CONTENT_TYPE).cloned().unwrap();
    let heard = if kind == "application/json" {
        let body = Body::new(answer);
        let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        vec![serde_json::from_slice(&whole).unwrap()]
    } else {
        let time = Duration::from_secs(120);
        NotificationStream::new(answer)
            .read_to_end(time)
            .await
            .unwrap()
    };
    (heard, start.elapsed().as_secs() + 1)
}

fn progress_values(heard: &[Value]) -> Vec<u64> {
    with_method(heard, "notifications/progress")
        .iter()
        .map(|told| told["params"]["progress"].as_u64().unwrap())
        .collect()
}

/// Number of log messages with a drop notice, number without, and total of dropped messages in the notices.
fn log_counts(heard: &[Value]) -> (u64, u64, u64) {
    let logs = with_method(heard, "notifications/message");
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
fn cpu_allowance(time: Duration) -> Duration {
    if cfg!(debug_assertions) {
        time / 5
    } else {
        time / 10
    }
}

/// Sends two seconds of a flood on long-lived streams, ten thousand messages a second, each in a chunk of its own.
async fn assert_low_cpu(up: &mut ToolgateUp, hose: &NotificationFlood, what: &str, text: &str) {
    let time = Duration::from_secs(2);
    let (before, poured) = (up.process().cpu_time().unwrap(), hose.messages_sent());
    hose.set_flood(Some(text));
    tokio::time::sleep(time).await;
    let spent = up.process().cpu_time().unwrap().saturating_sub(before);
    hose.set_flood(None);
    let poured = hose.messages_sent() - poured;
    println!("{what}: {spent:?} of processor time in {time:?}, of {poured}");
    assert!(poured > 1_000, "no flood of {what}: {poured}");
    assert!(spent < cpu_allowance(time), "{what}: {spent:?}");
}

/// Each kind of notification on the feed of a modern server with a listening client. Each kind has its own server,
/// since a flooding server is read slowly for some time afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_on_a_feed_are_limited_and_use_little_cpu() {
    let sandbox = Sandbox::new("feeds").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let uri = "file:///one";
    let updated = notification_flood::notification_event(UPDATED, &json!({"uri": uri}));
    let task = json!({"taskId": "nobodys", "status": "working"});
    for (name, text, told) in [
        ("updates", updated.as_str(), 1..=10),
        // The list is unchanged each time.
        (
            "announcements",
            &notification_flood::notification_event(TOOLS, &json!({})),
            0..=0,
        ),
        (
            "tasks",
            &notification_flood::notification_event("notifications/tasks", &task),
            0..=0,
        ),
        ("comments", ":\n", 0..=0),
    ] {
        let hose = NotificationFlood::start(FloodTransport::Modern)
            .await
            .unwrap();
        let token = up.expose(name, &hose.url(), "single").await.unwrap();
        let modern = Agent::modern(&up.url(name), &token);
        let filter = json!({"toolsListChanged": true, "resourceSubscriptions": [uri]});
        let mut hearing = modern.listen_with_filter(filter).await.unwrap();
        tokio::time::sleep(CONFIGURATION_DELAY).await;
        assert_low_cpu(&mut up, &hose, name, text).await;
        let heard = hearing.count(UPDATED) + hearing.count(TOOLS);
        assert!(told.contains(&heard), "{heard} {name}");
    }
}

/// The stream of an upstream session, and the stream of the control plane's own session.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_on_a_session_stream_use_little_cpu() {
    let sandbox = Sandbox::new("links").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let log = json!({"level": "info", "data": "words"});
    let log = notification_flood::notification_event("notifications/message", &log);
    let ping = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n";
    for (name, text) in [
        ("logs", log.as_str()),
        (
            "announcements",
            &notification_flood::notification_event(TOOLS, &json!({})),
        ),
        ("questions", ping),
        ("comments", ":\n"),
        ("bytes", ":"),
    ] {
        let hose = NotificationFlood::start(FloodTransport::Legacy)
            .await
            .unwrap();
        let token = up.expose(name, &hose.url(), "single").await.unwrap();
        let cli = up.cli().unwrap();
        cli.allow_all_requests(name, &hose.url()).await.unwrap();
        let asked = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let modern = Agent::modern(&up.url(name), &token).declaring(asked);
        tokio::time::sleep(CONFIGURATION_DELAY).await;
        modern.call("say", json!({})).await.unwrap();
        assert!(
            hose.streams_opened() >= 2,
            "{} streams",
            hose.streams_opened()
        );
        assert_low_cpu(&mut up, &hose, name, text).await;
        modern.call("say", json!({})).await.unwrap();
    }
}

/// The single stream of an HTTP+SSE server (2024-11-05 transport), on which calls are answered continuously.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_on_an_http_sse_stream_use_little_cpu_and_lose_no_response() {
    let sandbox = Sandbox::new("one-stream").unwrap();
    let hose = NotificationFlood::start(FloodTransport::HttpSse)
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &hose.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let log = json!({"level": "info", "data": "words"});
    let log = notification_flood::notification_event("notifications/message", &log);
    for (what, text) in [
        ("log messages of an old server", log.as_str()),
        ("its comments", ":\n"),
    ] {
        assert_low_cpu(&mut up, &hose, what, text).await;
        hose.set_flood(Some(text));
        let start = now();
        for _ in 0..10 {
            modern.call("say", json!({})).await.unwrap();
        }
        let took = start.elapsed();
        assert!(took < SETTLE_TIME, "ten calls took {took:?} among {what}");
        hose.set_flood(None);
    }
}

/// Calls with floods of progress, log messages or comments, each message in a chunk of its own.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_before_a_response_are_limited_and_use_little_cpu() {
    let sandbox = Sandbox::new("calls").unwrap();
    let hose = NotificationFlood::start(FloodTransport::Legacy)
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &hose.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let news = json!({"progressToken": "TOKEN", "progress": "NUMBER"});
    let news = notification_flood::notification_event("notifications/progress", &news);
    let log = json!({"level": "info", "data": "NUMBER"});
    let log = notification_flood::notification_event("notifications/message", &log);
    let nobodys = notification_flood::notification_event("notifications/vendor", &json!({}));
    let time = Duration::from_secs(2);
    for (what, text) in [
        ("progress", news.as_str()),
        ("log messages", &log),
        ("what nobody knows", &nobodys),
        ("comments", ":\n"),
    ] {
        let before = up.process().cpu_time().unwrap();
        let arguments = json!({"text": text, "seconds": time.as_secs()});
        let (heard, seconds) = call_flood(&modern, &up, "say", arguments).await;
        let spent = up.process().cpu_time().unwrap().saturating_sub(before);
        println!("{what}: {spent:?} of processor time in {time:?}");
        let last = heard.last().unwrap();
        assert_eq!(last["result"]["content"][0]["text"], "said", "{last}");
        let said = RATE * time.as_secs();
        let progress = progress_values(&heard);
        let (logged, passed, left_out) = log_counts(&heard);
        match what {
            "progress" => assert_eq!(progress.last(), Some(&said)),
            "log messages" => assert_eq!(passed + left_out, said),
            _ => assert_eq!(heard.len(), 1),
        }
        let told = u64::try_from(progress.len()).unwrap() + logged;
        assert!(
            told <= max_notifications(seconds),
            "{told} notices of {what}"
        );
        assert!(spent < cpu_allowance(time), "{what}: {spent:?}");
    }
}
