//! List changes of a server reach clients: each of several changes within a second, in every era pair.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "one scenario, four times"
)]

use std::time::Duration;

use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock;
use toolgate_tests::notification_stream::NotificationStream;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
/// Documented limit.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Subscribers of one change, in `make test` and in `make drill`.
const SUBSCRIBERS: (usize, usize) = (400, 8_000);
/// Subscribers with one token.
const PER_TOKEN: usize = 500;
/// Time in which all of them are notified, and the ratio of the times of calls with and without them; asserted by
/// `make drill`.
const MAX_FAN_OUT: Duration = Duration::from_secs(2);
const MAX_RATIO: f64 = 1.25;
/// Calls whose median time is compared.
const CALLS: usize = 100;
/// Longer than the delay of earlier change notifications.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// A gateway with the fixture server, and a listening client of each era.
struct ChangeScenario {
    agent: Agent,
    hearings: [NotificationStream; 2],
    _server: UpstreamServer,
    _up: ToolgateUp,
    _sandbox: Sandbox,
}

impl ChangeScenario {
    async fn start(flag: &str) -> Self {
        let sandbox = Sandbox::new("changes").unwrap();
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[flag])
            .await
            .unwrap();
        let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
        let token = up.expose("changes", server.url(), "single").await.unwrap();
        let url = up.url("changes");
        let agent = Agent::modern(&url, &token);
        let legacy = Agent::legacy(&url, &token).await.unwrap();
        let hearings = [
            agent.listen().await.unwrap(),
            legacy.listen().await.unwrap(),
        ];
        clock::eventually("a first call", clock::HANG_GUARD, || {
            agent.call("greet", json!({}))
        })
        .await
        .unwrap();
        tokio::time::sleep(SETTLE_TIME).await;
        Self {
            agent,
            hearings,
            _server: server,
            _up: up,
            _sandbox: sandbox,
        }
    }
}

/// Changes tools and prompts with these pauses in between.
async fn check_several_changes(flag: &str) {
    let mut scene = ChangeScenario::start(flag).await;
    let changes = [
        ("test_trigger_tool_change", TOOLS, 0),
        ("test_trigger_tool_change", TOOLS, 0),
        ("test_trigger_prompt_change", PROMPTS, 700),
        ("test_trigger_tool_change", TOOLS, 300),
        ("test_trigger_prompt_change", PROMPTS, 0),
        ("test_trigger_tool_change", TOOLS, 1_500),
    ];
    for hearing in &mut scene.hearings {
        hearing.count(TOOLS);
    }
    for (tool, method, pause) in changes {
        let changed = clock::now();
        scene.agent.call(tool, json!({})).await.unwrap();
        for hearing in &mut scene.hearings {
            let heard = hearing.next(method, clock::HANG_GUARD).await.unwrap();
            let took = heard.duration_since(changed);
            println!("{flag} {method}: {took:?}");
            assert!(
                !clock::is_drill() || took <= MAX_DELAY,
                "{method} after {took:?}"
            );
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_changes_of_a_modern_server_is_notified_within_a_second() {
    check_several_changes("--modern-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_changes_of_a_legacy_server_is_notified_within_a_second() {
    check_several_changes("--legacy-only").await;
}

/// Median time of calls, one after the other.
async fn median_call(agent: &Agent) -> Duration {
    let median = agent.median_call("greet", &json!({}), CALLS).await;
    median.unwrap()
}

/// Half of the subscribers ask for changes of tools, the others for changes of prompts.
#[tokio::test(flavor = "multi_thread")]
async fn one_change_reaches_all_of_many_subscribers_and_no_other_stream() {
    let sandbox = Sandbox::new("subscribers").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &["--modern-only"])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("main", server.url(), "single").await.unwrap();
    let url = up.url("main");
    let agent = Agent::modern(&url, &token);
    let alone = median_call(&agent).await;
    let (few, many) = SUBSCRIBERS;
    let count = if clock::is_drill() { many } else { few };
    let (mut of_tools, mut of_prompts, mut subscriber) = (Vec::new(), Vec::new(), None);
    for number in 0..count {
        if number % PER_TOKEN == 0 {
            let name = format!("t{number}");
            let cli = up.cli().unwrap();
            let token = cli.token(&name, &["--gateway", "main"]).await.unwrap();
            subscriber = Some(Agent::modern(&url, &token));
        }
        let subscriber = subscriber.as_ref().unwrap();
        let (streams, kind) = match number % 2 {
            0 => (&mut of_tools, "toolsListChanged"),
            _ => (&mut of_prompts, "promptsListChanged"),
        };
        let accepted = clock::eventually("the token is accepted", clock::HANG_GUARD, || {
            subscriber.listen_with_filter(json!({kind: true}))
        });
        streams.push(accepted.await.unwrap());
    }
    tokio::time::sleep(SETTLE_TIME).await;
    for stream in of_tools.iter_mut().chain(&mut of_prompts) {
        stream.count(TOOLS);
    }
    let changed = clock::now();
    agent
        .call("test_trigger_tool_change", json!({}))
        .await
        .unwrap();
    let mut last = changed;
    for stream in &mut of_tools {
        last = last.max(stream.next(TOOLS, clock::HANG_GUARD).await.unwrap());
    }
    let took = last.duration_since(changed);
    let others: usize = of_prompts
        .iter_mut()
        .map(|stream| stream.count(TOOLS))
        .sum();
    assert_eq!(others, 0, "notifications of a type that is not subscribed");
    let beside = median_call(&agent).await;
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!(
        "{} subscribers after {took:?}; a call {alone:?}, beside {beside:?} ({ratio:.2})",
        of_tools.len()
    );
    assert!(!clock::is_drill() || took <= MAX_FAN_OUT, "{took:?}");
    assert!(!clock::is_drill() || ratio <= MAX_RATIO, "{ratio:.2}");
}
