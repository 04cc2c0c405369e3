//! Servers that say far too much, against the real process: what clients are told of it, and what it costs. The cost is compared
//! with that of ordinary calls in the same run; how much of a processor it is at most is asserted by `make drill`.
#![expect(clippy::unwrap_used, reason = "scenarios")]
#![expect(clippy::print_stdout, reason = "figures, for who measures a build")]

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::announcement_server::{AnnouncementServer, MESSAGES};
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now};
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::notification_flood::{self, FloodTransport, NotificationFlood, RATE};
use toolgate_tests::notification_stream::NotificationStream;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";
/// Until what was configured is so.
const CONFIGURATION_DELAY: Duration = Duration::from_secs(1);
/// Longer than it takes until changes made before are told.
const SETTLE_TIME: Duration = Duration::from_secs(3);

fn of<'a>(messages: &'a [Value], method: &str) -> Vec<&'a Value> {
    let of = |message: &&Value| message.get("method") == Some(&json!(method));
    messages.iter().filter(of).collect()
}

/// Both eras listen for ten seconds to a server whose list changes, as it says, ten thousand times a second.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_endless_change_notifications_are_limited_and_use_little_cpu() {
    let sandbox = Sandbox::new("announcements").unwrap();
    let flood = AnnouncementServer::start().await.unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", &flood.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("main"), &token);
    let legacy = Agent::legacy(&up.url("main"), &token).await.unwrap();
    let call = request_cost(&mut up, || async { modern.tools().await.map(drop) }).await;
    let mut hearings = [
        modern.listen().await.unwrap(),
        legacy.listen().await.unwrap(),
    ];
    let time = Duration::from_secs(10);
    let start = now();
    let (before, read) = (up.process().cpu_time().unwrap(), flood.lists());
    let announced = flood.announcements_sent();
    tokio::time::sleep(time).await;
    let spent = up.process().cpu_time().unwrap().saturating_sub(before);
    let (read, announced) = (flood.lists() - read, flood.announcements_sent() - announced);
    let changed = hearings.each_mut().map(|hearing| hearing.count(TOOLS));
    // Twenty in ten seconds, however long this one has slept.
    let most = start.elapsed().as_millis() * 20 / time.as_millis();
    for changed in changed {
        assert!((1..=most).contains(&(changed as u128)), "{changed} times");
    }
    assert!(u128::from(read) <= most, "read {read} times");
    assert!(announced > 1_000, "a flood: {announced}");
    costs_little("announcements", spent, announced, (call, AWAITED));
    assert!(!is_drill() || spent < time / 10, "{spent:?}");
    // And what comes after it is heard of.
    flood.stop_announcing();
    tokio::time::sleep(SETTLE_TIME).await;
    for hearing in &mut hearings {
        hearing.count(TOOLS);
    }
    flood.announce_change();
    for hearing in &mut hearings {
        hearing.next(TOOLS, HANG_GUARD).await.unwrap();
    }
}

/// Both eras call a tool that tells of its progress and logs a hundred thousand times in ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_endless_progress_and_logs_are_limited_and_the_last_progress_arrives() {
    let sandbox = Sandbox::new("chatter").unwrap();
    let flood = AnnouncementServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
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
        assert!(told > BURST, "{told}");
        is_thinned("progress", told, seconds, PROGRESS);
        let (told, passed, left_out) = logs(&heard);
        assert!(told > BURST, "{told}");
        is_thinned("log messages", told, seconds, LOGS);
        assert_eq!(left_out + passed, MESSAGES, "all are accounted for");
    }
}

/// Progress and log messages of a call that are sent immediately.
const BURST: u64 = 6;

/// Notices of progress that are told a second at most, however they come, and what may have waited.
const PROGRESS: (u64, u64) = (20, BURST + 2);

/// The same of log messages.
const LOGS: (u64, u64) = (50, 256 + BURST + 2);

/// In ten seconds of a flood twenty are told: asserted in a drill, since a server that a busy machine holds up is no flood for
/// as long, and honest servers are told whole. That no ten seconds of a flood have more, however it comes, is tested where it is
/// decided, without a clock. In any run no more is told than what an honest server may say, which is a hundredth of it.
fn is_thinned(what: &str, told: u64, seconds: u64, (rate, waiting): (u64, u64)) {
    let most = if is_drill() {
        most(seconds)
    } else {
        rate * seconds + waiting
    };
    assert!(told <= most, "{told} notices of {what} in {seconds} s");
}

/// Maximum number of notifications sent during a flood of this duration: twenty in ten seconds.
fn most(seconds: u64) -> u64 {
    BURST + seconds + 2
}

/// Calls a tool that wants to tell of its progress and to log. All that was heard, and how many seconds it took.
async fn called(agent: &Agent, up: &ToolgateUp, tool: &str, arguments: Value) -> (Vec<Value>, u64) {
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
        // The tool itself takes ten seconds, and longer where it is not read.
        NotificationStream::new(answer)
            .read_to_end(2 * HANG_GUARD)
            .await
            .unwrap()
    };
    (heard, start.elapsed().as_secs() + 1)
}

fn progress(heard: &[Value]) -> Vec<u64> {
    of(heard, "notifications/progress")
        .iter()
        .map(|told| told["params"]["progress"].as_u64().unwrap())
        .collect()
}

/// Counts the log messages with notes, those without, and the dropped messages that the notes report.
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

/// Requests that are made to know what an ordinary one costs.
const REQUESTS: u32 = 500;

/// A message of a flood costs at most this fraction (1/n) of an ordinary request, on a stream without a waiting call. Measured:
/// at most 1/70; without paced reading, 1/15 for elicitations.
const BACKGROUND: u32 = 35;

/// The same for a stream with a waiting call, which is read to its end. Measured without optimisation: 1/12 to
/// 1/15. How often such a stream is read is counted in the tests of `ReadLimiter`.
const AWAITED: u32 = 10;

/// Processor time that one ordinary request costs the process.
async fn request_cost<F>(up: &mut ToolgateUp, request: impl Fn() -> F) -> Duration
where
    F: Future<Output = Result<()>>,
{
    let before = up.process().cpu_time().unwrap();
    for _ in 0..REQUESTS {
        request().await.unwrap();
    }
    up.process().cpu_time().unwrap().saturating_sub(before) / REQUESTS
}

/// Both are measured in the same run by the same clock of the processor: a machine that is busy, or slow, changes both.
/// In a drill, which is about the figures, it is not looked at.
fn costs_little(what: &str, spent: Duration, messages: u64, (request, share): (Duration, u32)) {
    let each = spent / u32::try_from(messages).unwrap();
    println!("{what}: {spent:?} for {messages}, {each:?} each; {request:?} for a request");
    assert!(
        is_drill() || each * share <= request,
        "{what}: {each:?} of {request:?}"
    );
}

/// Waits until this number of long-lived streams is open.
async fn stand(hose: &NotificationFlood, streams: u64) {
    eventually("streams stand", HANG_GUARD, || async {
        ensure!(
            hose.streams_opened() >= streams,
            "{} streams",
            hose.streams_opened()
        );
        Ok(())
    })
    .await
    .unwrap();
}

/// Processor time that a flood may cost: a tenth when optimised, a fifth otherwise. Asserted by
/// `make drill`.
fn affordable(time: Duration) -> Duration {
    if cfg!(debug_assertions) {
        time / 5
    } else {
        time / 10
    }
}

/// Cost of a flood on long-lived streams.
struct FloodCost {
    messages: u64,
    spent: Duration,
    lasted: Duration,
}

/// Two seconds of a flood on the streams that stand, ten thousand a second, each a piece of its own. What two seconds of quiet
/// cost is no part of it: what earlier servers have said is still read then.
async fn flooded(
    up: &mut ToolgateUp,
    hose: &NotificationFlood,
    what: &str,
    text: &str,
) -> FloodCost {
    let time = Duration::from_secs(2);
    let before = up.process().cpu_time().unwrap();
    tokio::time::sleep(time).await;
    let quiet = up.process().cpu_time().unwrap().saturating_sub(before);
    let start = now();
    let (before, poured) = (up.process().cpu_time().unwrap(), hose.messages_sent());
    hose.set_flood(Some(text));
    tokio::time::sleep(time).await;
    let spent = up.process().cpu_time().unwrap().saturating_sub(before);
    hose.set_flood(None);
    let messages = hose.messages_sent() - poured;
    assert!(messages > 1_000, "no flood of {what}: {messages}");
    assert!(!is_drill() || spent < affordable(time), "{what}: {spent:?}");
    FloodCost {
        messages,
        spent: spent.saturating_sub(quiet),
        lasted: start.elapsed(),
    }
}

/// Processor time that one ordinary call of this server costs the process.
async fn call_cost(up: &mut ToolgateUp, agent: &Agent) -> Duration {
    let call = || async { agent.call("say", json!({})).await.map(drop) };
    request_cost(up, call).await
}

/// Each kind of notice on the feed that a modern server has; a client listens. Each of them comes from a server of its own,
/// since what one has said is read at leisure for some time after.
#[tokio::test(flavor = "multi_thread")]
async fn mc_10_floods_on_a_feed_are_limited_and_use_little_cpu() {
    let sandbox = Sandbox::new("feeds").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let uri = "file:///one";
    let updated = notification_flood::notification_event(UPDATED, &json!({"uri": uri}));
    let task = json!({"taskId": "nobodys", "status": "working"});
    for (name, text, told) in [
        ("updates", updated.as_str(), true),
        // The list is the same one, each time.
        (
            "announcements",
            &notification_flood::notification_event(TOOLS, &json!({})),
            false,
        ),
        (
            "tasks",
            &notification_flood::notification_event("notifications/tasks", &task),
            false,
        ),
        ("comments", ":\n", false),
    ] {
        let hose = NotificationFlood::start(FloodTransport::Modern)
            .await
            .unwrap();
        let token = up.expose(name, &hose.url(), "single").await.unwrap();
        let modern = Agent::modern(&up.url(name), &token);
        let filter = json!({"toolsListChanged": true, "resourceSubscriptions": [uri]});
        let mut hearing = modern.listen_with_filter(filter).await.unwrap();
        stand(&hose, 2).await;
        tokio::time::sleep(CONFIGURATION_DELAY).await;
        let call = call_cost(&mut up, &modern).await;
        let flood = flooded(&mut up, &hose, name, text).await;
        costs_little(name, flood.spent, flood.messages, (call, BACKGROUND));
        let heard = hearing.count(UPDATED) + hearing.count(TOOLS);
        let heard = u64::try_from(heard).unwrap();
        // A session is told of updates twice a second at most.
        let most = if told {
            2 * flood.lasted.as_secs() + 6
        } else {
            0
        };
        assert!((u64::from(told)..=most).contains(&heard), "{heard} {name}");
    }
}

/// Streams: one of a link, and one of the control plane's own session.
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
        // A stream of the link is opened by a call, once the proxy knows that the server may ask.
        eventually("streams stand", HANG_GUARD, || async {
            modern.call("say", json!({})).await?;
            ensure!(
                hose.streams_opened() >= 2,
                "{} streams",
                hose.streams_opened()
            );
            Ok(())
        })
        .await
        .unwrap();
        tokio::time::sleep(CONFIGURATION_DELAY).await;
        let call = call_cost(&mut up, &modern).await;
        let flood = flooded(&mut up, &hose, name, text).await;
        costs_little(name, flood.spent, flood.messages, (call, BACKGROUND));
        modern.call("say", json!({})).await.unwrap();
    }
}

/// The one stream of a server of 2024-11-05, on which calls are answered all the time.
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
        stand(&hose, 1).await;
        let call = call_cost(&mut up, &modern).await;
        let flood = flooded(&mut up, &hose, what, text).await;
        costs_little(what, flood.spent, flood.messages, (call, AWAITED));
        hose.set_flood(Some(text));
        let start = now();
        for _ in 0..10 {
            modern.call("say", json!({})).await.unwrap();
        }
        let took = start.elapsed();
        // That each is answered is promised in any run.
        assert!(
            !is_drill() || took < SETTLE_TIME,
            "ten calls took {took:?} among {what}"
        );
        hose.set_flood(None);
    }
}

/// Calls that tell of their progress, log, or say nothing at all at length, each notice a piece of its own.
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
        let call = call_cost(&mut up, &modern).await;
        let before = up.process().cpu_time().unwrap();
        let arguments = json!({"text": text, "seconds": time.as_secs()});
        let (heard, seconds) = called(&modern, &up, "say", arguments).await;
        let spent = up.process().cpu_time().unwrap().saturating_sub(before);
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
        let told = u64::try_from(progress.len()).unwrap();
        is_thinned(what, told, seconds, PROGRESS);
        is_thinned(what, logged, seconds, LOGS);
        costs_little(what, spent, said, (call, AWAITED));
        assert!(!is_drill() || spent < affordable(time), "{what}: {spent:?}");
    }
}
