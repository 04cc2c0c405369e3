//! The official conformance suite in server mode against the gateway, with our fixture behind it,
//! authentication on, in both eras. What still fails stands in `conformance-expected-*.yml`: an
//! unlisted failure fails here, and so does a listed one that passes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of two flavours"
)]

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::Command;
use toolgate_tests::agent::Agent;
use toolgate_tests::bearer::Bearer;
use toolgate_tests::clock::eventually;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::toolgate::{Up, text};
use toolgate_tests::tools;

const PATIENCE: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(10);

/// A run of the suite: whether it ended well, and its summary.
async fn suite(url: &str, version: &str, before: &str) -> Result<(bool, String)> {
    let mut command = Command::new(tools::node()?);
    command
        .arg(tools::package(
            "@modelcontextprotocol/conformance/dist/index.js",
        )?)
        .args([
            "server",
            "--url",
            url,
            "--requirements",
            version,
            "--expected-failures",
        ])
        .arg(tools::repository().join(format!("tests/conformance-expected-{version}{before}.yml")))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await??;
    let printed = text(&output.stdout);
    let summary = printed.split("=== SUMMARY ===").nth(1).map(str::to_owned);
    let summary = summary.unwrap_or_else(|| format!("{printed}{}", text(&output.stderr)));
    Ok((output.status.success(), summary))
}

/// The suite passes vacuously on servers that lack what it asks for: the fixture's tools must
/// really be there before a score means anything.
async fn listed(up: &Up, token: &str, server: &Server, legacy: bool) -> Result<()> {
    let direct = match legacy {
        true => Agent::legacy(server.url(), "").await?,
        false => Agent::modern(server.url(), ""),
    };
    let mut direct = direct.tools().await.context("of the fixture")?;
    let mut through = Agent::modern(&up.url("fixture"), token).tools().await?;
    direct.sort();
    through.sort();
    anyhow::ensure!(direct == through, "direct {direct:?}\nthrough {through:?}");
    anyhow::ensure!(
        direct
            .iter()
            .filter(|name| name.starts_with("test_"))
            .count()
            >= 25
    );
    Ok(())
}

/// Waits until the server may ask for everything.
async fn asks(up: &Up, token: &str) -> Result<()> {
    let agent = Agent::modern(&up.url("fixture"), token).declaring(json!({"sampling": {}}));
    eventually("the server may ask models", SOON, || async {
        let result = agent.call("test_sampling", json!({"prompt": "?"})).await?;
        anyhow::ensure!(result["resultType"] == "input_required", "{result}");
        Ok(())
    })
    .await
}

/// Before the fixture with these flags.
async fn holds(version: &str, flags: &[&str]) {
    let legacy = flags.contains(&"--legacy-only");
    let sandbox = Sandbox::new("conformance").unwrap();
    let server = Server::fixture(&sandbox, "fixture", flags).await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up
        .cli()
        .unwrap()
        .expose("fixture", server.url(), "single")
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    cli.let_ask("fixture", server.url()).await.unwrap();
    asks(&up, &token).await.unwrap();
    listed(&up, &token, &server, legacy).await.unwrap();
    let bearer = Bearer::start(up.mcp(), &token).await.unwrap();
    let url = format!("http://{}/v1/mcp/fixture", bearer.address());
    let (passed, summary) = suite(&url, version, if legacy { "-legacy" } else { "" })
        .await
        .unwrap();
    println!("{version} through the gateway:{summary}");
    assert!(passed, "{version}: not as expected:{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_11_25_holds_through_the_gateway() {
    holds("2025-11-25", &["--legacy-only"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_11_25_holds_before_a_modern_server() {
    holds("2025-11-25", &["--modern-only"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_holds_through_the_gateway() {
    holds("2026-07-28", &["--modern-only"]).await;
}
