//! Event streams of servers: streams that a real server ends early, and streams that never end.
#![expect(clippy::unwrap_used, reason = "a scenario of several floods")]

use serde_json::json;
use toolgate_tests::agent::{Agent, messages};
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::oversized_server::{FLOODS, OversizedServer, SIZED_TOOL};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn ht_22_the_sdk_polling_server_works_for_clients_of_both_eras() {
    let sandbox = Sandbox::new("polling").unwrap();
    let mut server = UpstreamServer::polling(&sandbox).await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose("poll", server.url(), "single").await.unwrap();
    let modern = Agent::modern(&up.url("poll"), &token);
    eventually("the tool", HANG_GUARD, || async {
        let tools = modern.tools().await?;
        anyhow::ensure!(tools == ["long-task"], "{tools:?}");
        Ok(())
    })
    .await
    .unwrap();
    let legacy = Agent::legacy(&up.url("poll"), &token).await.unwrap();
    let (one, other) = tokio::join!(
        modern.call("long-task", json!({})),
        legacy.call("long-task", json!({})),
    );
    for result in [one.unwrap(), other.unwrap()] {
        let text = result["content"][0]["text"].as_str().unwrap();
        assert_eq!(text, "Long task completed successfully!", "{result}");
    }
    let said = server.process().stdout();
    for (what, times) in [
        ("Starting long-task", 2),
        ("Closing SSE stream", 2),
        ("Task complete", 2),
    ] {
        assert_eq!(said.matches(what).count(), times, "{what}:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ov_14_server_floods_end_with_an_error_and_use_less_than_ten_mebibytes() {
    let torrent = OversizedServer::start().await.unwrap();
    for flood in FLOODS {
        // Each flood runs against a new process.
        let sandbox = Sandbox::new("torrent").unwrap();
        let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
        let token = up
            .expose("torrent", &torrent.url(), "single")
            .await
            .unwrap();
        let agent = Agent::modern(&up.url("torrent"), &token);
        eventually("an honest answer", HANG_GUARD, || {
            agent.call(SIZED_TOOL, json!({}))
        })
        .await
        .unwrap();
        let grown = memory_growth(&mut up, &agent, flood).await;
        println!("{flood}: {grown} bytes more");
        assert!(grown < 10 * MIB, "{flood}: {grown} bytes more");
    }
}

/// Runs a flood, which must end with an error; returns the peak memory growth of the process in bytes.
async fn memory_growth(up: &mut ToolgateUp, agent: &Agent, flood: &str) -> u64 {
    up.process().reset_peak().unwrap();
    let before = up.process().resident().unwrap();
    let frame = agent.frame("tools/call", json!({"name": flood, "arguments": {}}));
    let reply = agent.post(&frame, &[]).await.unwrap();
    let last = messages(&reply).unwrap().pop().unwrap();
    assert_eq!(last["result"]["isError"], true, "{flood}: {last}");
    let most = up.process().peak().unwrap();
    most.saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_size_limit_is_configurable_and_named_in_its_error() {
    let sandbox = Sandbox::new("answers").unwrap();
    let torrent = OversizedServer::start().await.unwrap();
    let up = ToolgateUp::start(&sandbox, &["--answer-memory", "8"])
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    let token = up.expose("small", &torrent.url(), "single").await.unwrap();
    let url = torrent.url();
    cli.run(&[
        "server",
        "add",
        "large",
        "--url",
        &url,
        "--max-answer",
        "16",
    ])
    .await
    .unwrap();
    cli.run(&[
        "gateway", "create", "large", "--server", "large", "--prefix", "single",
    ])
    .await
    .unwrap();
    let wide = cli.json(&["get", "server", "large"]).await.unwrap();
    assert_eq!(wide["spec"]["maxAnswerMib"], 16, "{wide}");
    let large_token = cli.token("large", &["--gateway", "large"]).await.unwrap();
    let small = Agent::modern(&up.url("small"), &token);
    let large = Agent::modern(&up.url("large"), &large_token);
    let told = async |agent: &Agent, mebibytes: u64| {
        let bytes = json!({"bytes": mebibytes * MIB - 1024});
        let result = agent.call(SIZED_TOOL, bytes).await.unwrap();
        let text = result["content"][0]["text"].as_str().unwrap().to_owned();
        (result["isError"] == true, text)
    };
    for agent in [&small, &large] {
        eventually("an honest answer", HANG_GUARD, || {
            agent.call(SIZED_TOOL, json!({}))
        })
        .await
        .unwrap();
        let (failed, text) = told(agent, 4).await;
        assert!(!failed, "{text}");
    }
    let (failed, text) = told(&small, 5).await;
    assert!(
        failed && text.contains("`max_answer_mib` of the server `small` is 4"),
        "{text}"
    );
    let (failed, text) = told(&large, 5).await;
    assert!(!failed, "{} bytes", text.len());
    // Within the setting, beyond the memory budget.
    let (failed, text) = told(&large, 10).await;
    assert!(failed && text.contains("overloaded"), "{text}");
    let (failed, text) = told(&large, 5).await;
    assert!(!failed, "{} bytes", text.len());
    let (code, said) = cli
        .fails(&["server", "add", "huge", "--url", &url, "--max-answer", "65"])
        .await
        .unwrap();
    assert!(code == 2 && said.contains("65"), "{code}: {said}");
}
