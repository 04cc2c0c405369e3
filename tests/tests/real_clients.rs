//! Real clients of both eras with real servers through the gateway: every client uses every endpoint, lists, calls,
//! gets an error for an unknown tool, and is rejected with a wrong token.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use toolgate_tests::real_clients::{LEGACY, MODERN, RealClient, ScriptRuntime};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};
use toolgate_tests::upstream_server::UpstreamServer;

const MESSAGE: &str = "grüße \u{1f980} through the gateway";

const CLIENTS: &[RealClient] = &[
    RealClient::new(
        "TypeScript SDK 1.32.2",
        ScriptRuntime::Node,
        &["typescript.mjs", "v1"],
        LEGACY,
    ),
    RealClient::new(
        "TypeScript SDK 2.4.0, auto",
        ScriptRuntime::Node,
        &["typescript.mjs", "v2"],
        MODERN,
    ),
    RealClient::new(
        "Python mcp 2.3.0, auto",
        ScriptRuntime::Python(2),
        &["python2.py", "auto"],
        MODERN,
    ),
    RealClient::new(
        "Python mcp 2.3.0, legacy",
        ScriptRuntime::Python(2),
        &["python2.py", "legacy"],
        LEGACY,
    ),
    RealClient::new(
        "Python mcp 2.3.0, 2026-07-28",
        ScriptRuntime::Python(2),
        &["python2.py", MODERN],
        MODERN,
    ),
    RealClient::new(
        "Python mcp 1.30.0",
        ScriptRuntime::Python(1),
        &["python1.py"],
        LEGACY,
    ),
];

/// Checks the report of a client.
fn check_report(client: &RealClient, report: &Value, tool: &str) -> Result<()> {
    if let Some(failed) = report.get("failed") {
        bail!("failed: {failed}");
    }
    let member = |name: &str| report.get(name).cloned().unwrap_or_default();
    if member("protocol") != client.version {
        bail!(
            "agreed on {}, not on {}",
            member("protocol"),
            client.version
        );
    }
    let tools = member("tools");
    if !tools
        .as_array()
        .is_some_and(|tools| tools.iter().any(|listed| listed == tool))
    {
        bail!("{tool} is not among {tools}");
    }
    if !member("text")
        .as_str()
        .is_some_and(|text| text.contains(MESSAGE))
    {
        bail!("the echo was {}", member("text"));
    }
    let unknown = member("unknown");
    let code = unknown.get("code").and_then(Value::as_i64);
    let words = unknown
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if code != Some(-32602) || !words.contains("no_such_tool_anywhere") {
        bail!("an unknown tool was answered with {unknown}");
    }
    Ok(())
}

/// Runs every client at an endpoint: its gateway, and the name of `echo` there.
async fn run_all_clients(up: &ToolgateUp, gateway: &str, token: &str, tool: &str) {
    let url = up.url(gateway);
    let home = up.data();
    let mut failures = Vec::new();
    for client in CLIENTS {
        let outcome = match client.run(home, &url, token, &[tool, MESSAGE]).await {
            Ok(report) => check_report(client, &report, tool),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            failures.push(format!("{}: {error:#}", client.name));
        }
    }
    assert!(
        failures.is_empty(),
        "at {gateway}:\n{}",
        failures.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_with_server_everything() {
    let sandbox = Sandbox::new("everything").unwrap();
    let server = UpstreamServer::everything(&sandbox).await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up
        .cli()
        .unwrap()
        .expose("everything", server.url(), "single")
        .await
        .unwrap();
    run_all_clients(&up, "everything", &token, "echo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_with_a_server_of_both_eras() {
    let sandbox = Sandbox::new("both").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up
        .cli()
        .unwrap()
        .expose("both", server.url(), "always")
        .await
        .unwrap();
    run_all_clients(&up, "both", &token, "both__echo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_with_a_server_of_the_legacy_era() {
    let sandbox = Sandbox::new("legacy").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &["--legacy-only"])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up
        .cli()
        .unwrap()
        .expose("legacy", server.url(), "never")
        .await
        .unwrap();
    run_all_clients(&up, "legacy", &token, "echo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_with_a_server_of_the_modern_era() {
    let sandbox = Sandbox::new("modern").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &["--modern-only", "--sse"])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up
        .cli()
        .unwrap()
        .expose("modern", server.url(), "single")
        .await
        .unwrap();
    run_all_clients(&up, "modern", &token, "echo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_with_several_servers_behind_one_gateway() {
    let sandbox = Sandbox::new("several").unwrap();
    let everything = UpstreamServer::everything(&sandbox).await.unwrap();
    let modern = UpstreamServer::fixture(&sandbox, "modern", &["--modern-only"])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let cli = up.cli().unwrap();
    cli.run(&["server", "add", "old", "--url", everything.url()])
        .await
        .unwrap();
    cli.run(&["server", "add", "new", "--url", modern.url()])
        .await
        .unwrap();
    cli.run(&[
        "gateway", "create", "all", "--server", "old", "--server", "new",
    ])
    .await
    .unwrap();
    let token = cli.token("all-token", &["--gateway", "all"]).await.unwrap();
    run_all_clients(&up, "all", &token, "old__echo").await;
    run_all_clients(&up, "all", &token, "new__echo").await;
}

/// Checks the report of a client at a progressive gateway with these servers.
fn check_progressive(report: &Value, prefixes: &[&str]) -> Result<()> {
    // The unknown tool is not found; three calls of each server's tools follow.
    let found = [vec![true, false], vec![true; 3 * prefixes.len()]].concat();
    let expected = json!({
        "tools": ["search_tools", "run_tool"],
        "text": MESSAGE,
        "found": found,
        "fixtures": vec![json!({
            "text": MESSAGE,
            "failing": "This tool intentionally returns an error for testing",
            "progress": [0, 50, 100],
        }); prefixes.len()],
    });
    for (member, expected) in expected.as_object().into_iter().flatten() {
        // Some clients write 50 as 50.0.
        let seen = report[member].to_string().replace(".0", "");
        let expected = expected.to_string();
        if seen != expected {
            bail!("{member} is {seen}, not {expected}: {report}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_sdks_search_and_run_tools_of_a_progressive_gateway() {
    let sandbox = Sandbox::new("progressive").unwrap();
    let old = UpstreamServer::fixture(&sandbox, "old", &["--legacy-only"]);
    let old = old.await.unwrap();
    let new = UpstreamServer::fixture(&sandbox, "new", &["--modern-only"]);
    let new = new.await.unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let cli = up.cli().unwrap();
    for (name, server) in [("old", &old), ("new", &new)] {
        cli.run(&["server", "add", name, "--url", server.url()])
            .await
            .unwrap();
    }
    let gateway = "gateway create all --server old --server new --listing progressive";
    let gateway: Vec<&str> = gateway.split(' ').collect();
    cli.run(&gateway).await.unwrap();
    let shown = cli.run(&["get", "gateway", "all", "-o", "yaml"]);
    let shown = text(&shown.await.unwrap().stdout);
    assert!(
        shown.contains("listing: TOOL_LISTING_PROGRESSIVE"),
        "{shown}"
    );
    let token = cli.token("all-token", &["--gateway", "all"]).await.unwrap();
    let prefixes = ["old__", "new__"];
    let mut failures = Vec::new();
    let searching = |client: &&RealClient| {
        let scripts = ["python2.py", "typescript.mjs"];
        client
            .arguments
            .first()
            .is_some_and(|it| scripts.contains(it))
    };
    for client in CLIENTS.iter().filter(searching) {
        let rest = ["old__echo", MESSAGE, prefixes[0], prefixes[1]];
        let seen = client.run(up.data(), &up.url("all"), &token, &rest).await;
        let checked = seen.and_then(|report| {
            check_report(client, &report, "run_tool")?;
            check_progressive(&report, &prefixes)
        });
        if let Err(error) = checked {
            failures.push(format!("{}: {error:#}", client.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_rejected_with_a_wrong_token() {
    let sandbox = Sandbox::new("denied").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    up.cli()
        .unwrap()
        .expose("shut", server.url(), "single")
        .await
        .unwrap();
    for client in CLIENTS {
        let wrong = "archestra_0000000000000000000000000000000000000000000";
        let report = client
            .run(sandbox.path(), &up.url("shut"), wrong, &["echo", MESSAGE])
            .await
            .unwrap();
        assert!(
            report.get("failed").is_some(),
            "{} got in: {report}",
            client.name
        );
    }
    let counts = server.counts().await.unwrap();
    assert!(counts.tools.is_empty(), "something was called: {counts:?}");
}
