//! Servers with as many tools as are kept, and with one more: what clients get, and what operators are told.

use anyhow::{Context, Result, ensure};
use tokio::sync::Mutex;
use toolgate_tests::{
    agent::Agent,
    clock::{HANG_GUARD, eventually},
    etcd_cluster::TestEtcdCluster,
    paged_server::PagedServer,
    sandbox::Sandbox,
    toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess, ToolgateUp, text},
};

/// Maximum number of tools that are kept of a server.
const MOST: usize = 10_000;
/// Size of a description, so that a tool has a usual size.
const DESCRIPTION: usize = 1_000;
/// Tools on a page of the server.
const PAGE: usize = 1_000;

/// Words that are wrong of a server that was cut by a limit.
const WRONG: [&str; 3] = ["too large", "shorten them", "probe failed"];

/// Held by the test that runs: each one moves tens of megabytes through several processes.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until a client gets `count` different tools, over all pages.
async fn lists(url: &str, token: &str, count: usize) -> Result<()> {
    let agent = Agent::modern(url, token);
    let listed = eventually("all tools are listed", HANG_GUARD, || async {
        let tools = agent.tools().await?;
        ensure!(tools.len() == count, "{} tools", tools.len());
        Ok(tools)
    });
    let mut tools = listed.await?;
    tools.sort();
    tools.dedup();
    ensure!(tools.len() == count, "{} different tools", tools.len());
    Ok(())
}

/// Adds a server and a gateway over it. Returns what is printed about each, and a token.
async fn expose(cli: &CommandLine, name: &str, url: &str) -> Result<(String, String, String)> {
    let added = cli.run(&["server", "add", name, "--url", url]).await?;
    let gateway = ["gateway", "create", name, "--server", name];
    let created = cli.run(&gateway).await?;
    let flags = ["--gateway", name];
    let token = cli.token(&format!("{name}-token"), &flags).await?;
    let printed = |output: std::process::Output| text(&output.stdout) + &text(&output.stderr);
    Ok((printed(added), printed(created), token))
}

/// Returns what `describe` shows of an object.
async fn described(cli: &CommandLine, kind: &str, name: &str) -> Result<String> {
    let output = cli.run(&["describe", kind, name]).await?;
    Ok(text(&output.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tools_reach_the_client_and_survive_a_restart() {
    let _turn = TURN.lock().await;
    let sandbox = Sandbox::new("ten-thousand").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &["--no-demo"]).await.unwrap();
    let server = PagedServer::start_with("big", MOST, PAGE, DESCRIPTION)
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    let (added, created, token) = expose(&cli, "big", &server.url()).await.unwrap();
    assert!(added.contains("10000 tools found"), "{added}");
    assert!(!added.contains("warning"), "{added}");
    assert!(!created.contains("problem"), "{created}");
    lists(&up.url("big"), &token, MOST).await.unwrap();
    let agent = Agent::modern(&up.url("big"), &token);
    let answer = agent
        .call("big__t9999", serde_json::json!({}))
        .await
        .unwrap();
    assert!(answer.to_string().contains("t9999 of big"), "{answer}");
    up.restart(&["--no-demo"]).await.unwrap();
    lists(&up.url("big"), &token, MOST).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tools_pass_through_etcd_and_a_proxy_of_its_own() {
    let _turn = TURN.lock().await;
    let sandbox = Sandbox::new("ten-thousand-etcd").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane)
        .await
        .unwrap();
    let server = PagedServer::start_with("big", MOST, PAGE, DESCRIPTION)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let (added, _, token) = expose(&cli, "big", &server.url()).await.unwrap();
    assert!(added.contains("10000 tools found"), "{added}");
    lists(&proxy.url("big"), &token, MOST).await.unwrap();
    // What another control plane reads of the store is the same.
    plane.restart().await.unwrap();
    let catalogue = cli.json(&["get", "catalogue", "big"]).await.unwrap();
    let tools = catalogue["tools"].as_array().context("no tools").unwrap();
    assert_eq!(tools.len(), MOST);
    lists(&proxy.url("big"), &token, MOST).await.unwrap();
    // The parts go with the server, at the latest with later changes.
    for (kind, name) in [("gateway", "big"), ("server", "big")] {
        cli.run(&["delete", kind, name]).await.unwrap();
    }
    eventually("the parts are swept", HANG_GUARD, || async {
        cli.run(&["proxies", "join-token"]).await?;
        let keys = etcd.list("").await?;
        let parts = keys
            .iter()
            .filter(|(key, _)| key.contains("catalogue-parts"));
        let count = parts.count();
        ensure!(count == 0, "{count} parts");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_beyond_the_limit_are_counted_at_the_server_and_at_the_gateway() {
    let _turn = TURN.lock().await;
    let sandbox = Sandbox::new("beyond-the-limit").unwrap();
    let up = ToolgateUp::start(&sandbox, &["--no-demo"]).await.unwrap();
    let server = PagedServer::start_with("big", MOST + 1, MOST + 1, 10)
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    let (added, created, token) = expose(&cli, "big", &server.url()).await.unwrap();
    let said = "10,000 of 10,001 tools: limit of 10,000 tools of a server";
    let texts = [
        added,
        created,
        described(&cli, "server", "big").await.unwrap(),
        described(&cli, "gateway", "big").await.unwrap(),
    ];
    for shown in &texts {
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{shown}");
        for wrong in WRONG {
            assert!(!shown.contains(wrong), "{wrong}: {shown}");
        }
    }
    assert!(texts[0].contains("10000 tools found"), "{}", texts[0]);
    lists(&up.url("big"), &token, MOST).await.unwrap();
    // Both are ready, with a warning.
    for kind in ["server", "gateway"] {
        let wait = ["wait", kind, "big", "--for", "ready", "--timeout", "5s"];
        let waited = cli.run(&wait).await.unwrap();
        let told = text(&waited.stderr);
        assert!(told.contains("warning: ") && told.contains(said), "{told}");
    }
}
