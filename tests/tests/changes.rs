//! What a server changes, its clients hear of: each of several changes within a second, in all four cells, and no more of
//! a flood of them than anybody can read.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "one scenario, four times"
)]

use std::time::Duration;

use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock;
use toolgate_tests::hearing::Hearing;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::toolgate::Up;

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
/// What is promised.
const MOST: Duration = Duration::from_secs(1);
/// Longer than it takes until changes made before are told.
const QUIET: Duration = Duration::from_secs(3);

/// A gateway before the fixture, with a client of each era that listens.
struct Scene {
    agent: Agent,
    hearings: [Hearing; 2],
    server: Server,
    _up: Up,
    _sandbox: Sandbox,
}

impl Scene {
    async fn of(flag: &str) -> Self {
        let sandbox = Sandbox::new("changes").unwrap();
        let server = Server::fixture(&sandbox, "fixture", &[flag]).await.unwrap();
        let up = Up::start(&sandbox, &[]).await.unwrap();
        let token = up.expose("changes", server.url(), "single").await.unwrap();
        let url = up.url("changes");
        let agent = Agent::modern(&url, &token);
        let legacy = Agent::legacy(&url, &token).await.unwrap();
        let hearings = [agent.hear().await.unwrap(), legacy.hear().await.unwrap()];
        clock::eventually("a first call", QUIET, || agent.call("greet", json!({})))
            .await
            .unwrap();
        tokio::time::sleep(QUIET).await;
        Self {
            agent,
            hearings,
            server,
            _up: up,
            _sandbox: sandbox,
        }
    }
}

/// Of the tools or the prompts, with these pauses in between.
async fn several(flag: &str) {
    let mut scene = Scene::of(flag).await;
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
            let heard = hearing.next(method, 3 * MOST).await.unwrap();
            let took = heard.duration_since(changed);
            println!("{flag} {method}: {took:?}");
            assert!(took <= MOST, "{method} after {took:?}");
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_changes_of_a_modern_server_is_told_within_a_second() {
    several("--modern-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_changes_of_a_legacy_server_is_told_within_a_second() {
    several("--legacy-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mc_10_of_a_hundred_thousand_changes_in_ten_seconds_clients_hear_twenty() {
    let mut scene = Scene::of("--modern-only").await;
    for hearing in &mut scene.hearings {
        hearing.count(TOOLS);
    }
    let began = clock::now();
    scene.agent.call("flood_changes", json!({})).await.unwrap();
    println!("the flood took {:?}", began.elapsed());
    for hearing in &mut scene.hearings {
        let heard = hearing.count(TOOLS);
        println!("{heard} notices");
        assert!((1..=20).contains(&heard), "{heard} notices");
    }
    // And what comes after it is heard of again.
    tokio::time::sleep(QUIET).await;
    for hearing in &mut scene.hearings {
        hearing.count(TOOLS);
    }
    let scene_changes = scene.agent.call("test_trigger_tool_change", json!({}));
    scene_changes.await.unwrap();
    for hearing in &mut scene.hearings {
        hearing.next(TOOLS, 10 * MOST).await.unwrap();
    }
    drop(scene.server);
}
