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
