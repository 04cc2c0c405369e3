//! A tool call is never executed twice by us: the line to the server is cut at every byte, in both
//! directions and both eras, and the server itself counts.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of two flavours"
)]

use std::collections::BTreeSet;

use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::cut::Cutter;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::toolgate::Up;

/// More bytes than a whole request or answer of this scenario has, and the steps to get there.
const LAST: u64 = 1000;
const STEP: usize = 5;

/// Calls `mark` with this key; whether the tool itself answered.
async fn mark(agent: &Agent, key: &str) -> bool {
    let result = agent.call("mark", json!({"key": key})).await;
    result.is_ok_and(|result| result.get("isError") != Some(&json!(true)))
}

async fn never_twice(name: &str, flags: &[&str]) {
    let sandbox = Sandbox::new(name).unwrap();
    let server = Server::fixture(&sandbox, "fixture", flags).await.unwrap();
    let cutter = Cutter::start(server.address()).await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let url = format!("http://{}/mcp", cutter.address());
    let token = up.expose("cut", &url, "single").await.unwrap();
    let modern = Agent::modern(&up.url("cut"), &token);
    let legacy = Agent::legacy(&up.url("cut"), &token).await.unwrap();
    let mut answered = BTreeSet::new();
    for at in (0..LAST).step_by(STEP) {
        for (agent, era) in [(&modern, "modern"), (&legacy, "legacy")] {
            for direction in ["request", "answer"] {
                // A good call first: the line stands, and its breaking is not the fifth in a row.
                let between = format!("between-{era}-{direction}-{at}");
                assert!(mark(agent, &between).await, "no recovery before byte {at}");
                match direction {
                    "request" => cutter.cut_request_after(at),
                    _ => cutter.cut_answer_after(at),
                }
                let key = format!("{era}-{direction}-{at}");
                if mark(agent, &key).await {
                    answered.insert(key);
                }
                cutter.heal();
            }
        }
    }
    let marks = server.counts().await.unwrap().marks;
    let twice: Vec<_> = marks.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "executed more than once: {twice:?}");
    let made_up: Vec<_> = answered
        .iter()
        .filter(|key| !marks.contains_key(*key))
        .collect();
    assert!(
        made_up.is_empty(),
        "answered and never executed: {made_up:?}"
    );
    let cut: Vec<_> = marks
        .keys()
        .filter(|key| !key.starts_with("between"))
        .collect();
    let lost = cut.len() - answered.len();
    println!(
        "{} cuts: {} executed, {lost} of them unanswered",
        LAST / 5 * 4,
        cut.len()
    );
    assert!(
        lost > 10,
        "hardly any cut fell between execution and answer: they prove nothing"
    );
    assert!(
        cut.len() < 800,
        "no cut ever prevented an execution: they prove nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn never_twice_on_a_modern_server() {
    never_twice("cut-modern", &["--modern-only"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_twice_on_a_legacy_server() {
    never_twice("cut-legacy", &["--legacy-only", "--retry", "0"]).await;
}

/// The server may be asked for the rest of an answer over a line that stays cut: still the call is not made again.
#[tokio::test(flavor = "multi_thread")]
async fn never_twice_on_a_legacy_server_whose_streams_can_be_taken_up() {
    let sandbox = Sandbox::new("cut-resumable").unwrap();
    let flags = ["--legacy-only", "--retry", "1"];
    let server = Server::fixture(&sandbox, "fixture", &flags).await.unwrap();
    let cutter = Cutter::start(server.address()).await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let url = format!("http://{}/mcp", cutter.address());
    let token = up.expose("cut", &url, "single").await.unwrap();
    let agent = Agent::modern(&up.url("cut"), &token);
    let mut answered = 0;
    for at in (0..400).step_by(40) {
        assert!(mark(&agent, &format!("between-{at}")).await, "{at}");
        cutter.cut_answer_after(at);
        answered += u32::from(mark(&agent, &format!("cut-{at}")).await);
        cutter.heal();
    }
    let marks = server.counts().await.unwrap().marks;
    let twice: Vec<_> = marks.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "executed more than once: {twice:?}");
    let executed = marks.keys().filter(|key| key.starts_with("cut")).count();
    assert_eq!(executed, 10, "each arrived");
    assert!(
        answered < 10,
        "no cut ever fell into an answer: they prove nothing"
    );
}
