//! The acceptance matrix: every popular client with one server of each era and with both behind one gateway. It
//! connects, lists, calls, gets errors, and receives progress and list change notifications. `KNOWN_GAPS` lists with
//! reasons what a client cannot do; nothing else is left out.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "scenarios that say what each client agreed on"
)]

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use toolgate_tests::bearer_proxy::BearerProxy;
use toolgate_tests::real_clients::{LEGACY, MODERN, RealClient, ScriptRuntime};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

const MESSAGE: &str = "grüße \u{1f980} through the gateway";
const FAILURE: &str = "This tool intentionally returns an error for testing";
const UNKNOWN: &str = "no_such_tool_anywhere";
/// Placeholder of a missing token. The gateway must never have to add a token: every client sends its own.
const NO_TOKEN: &str = "no-token-was-sent";

const CLIENTS: &[RealClient] = &[
    RealClient::new(
        "Claude Code 2.1.330",
        ScriptRuntime::Node,
        &["claude_code.mjs"],
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
        "FastMCP 4.1.2, auto",
        ScriptRuntime::Python(2),
        &["fastmcp4.py", "auto"],
        MODERN,
    ),
    RealClient::new(
        "FastMCP 4.1.2, legacy",
        ScriptRuntime::Python(2),
        &["fastmcp4.py", "legacy"],
        LEGACY,
    ),
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
        "Inspector CLI 2.12.0, legacy",
        ScriptRuntime::Node,
        &["inspector.mjs", "legacy"],
        LEGACY,
    ),
    RealClient::new(
        "Inspector CLI 2.12.0, modern",
        ScriptRuntime::Node,
        &["inspector.mjs", "modern"],
        MODERN,
    ),
    RealClient::new(
        "openai-agents 0.24.0",
        ScriptRuntime::Python(2),
        &["openai_agents.py"],
        MODERN,
    ),
    RealClient::new(
        "langchain-mcp-adapters 0.3.2",
        ScriptRuntime::Python(1),
        &["langchain_adapters.py"],
        LEGACY,
    ),
];

/// Action of a client in each cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptanceStep {
    Connect,
    List,
    Call,
    Failing,
    Unknown,
    Progress,
    Changed,
}

const STEPS: [AcceptanceStep; 7] = [
    AcceptanceStep::Connect,
    AcceptanceStep::List,
    AcceptanceStep::Call,
    AcceptanceStep::Failing,
    AcceptanceStep::Unknown,
    AcceptanceStep::Progress,
    AcceptanceStep::Changed,
];

/// Gaps of clients: (start of the client name, step, reason).
const KNOWN_GAPS: &[(&str, AcceptanceStep, &str)] = &[
    (
        "Claude Code",
        AcceptanceStep::Unknown,
        "it tells its model that there is no such tool, and asks nobody for it",
    ),
    (
        "Claude Code",
        AcceptanceStep::Progress,
        "it shows it to a person at a terminal, and to nobody else",
    ),
    (
        "Inspector CLI",
        AcceptanceStep::Changed,
        "its one request ends it, or it prints log messages and updates of resources only",
    ),
    (
        "Inspector CLI",
        AcceptanceStep::Unknown,
        "it looks a tool up in the list and never asks for one that is not there",
    ),
    (
        "Inspector CLI",
        AcceptanceStep::Progress,
        "of a call it prints the result only",
    ),
];

fn known_gap(client: &RealClient, step: AcceptanceStep) -> Option<&'static str> {
    let mut all = KNOWN_GAPS.iter();
    all.find(|(name, lacking, _)| client.name.starts_with(name) && *lacking == step)
        .map(|(_, _, reason)| *reason)
}

/// Checks that each fixture in the report has this value at `member`.
fn check_each_fixture(
    report: &Value,
    servers: usize,
    member: &str,
    expected: &Value,
) -> Result<()> {
    let fixtures = report["fixtures"].as_array().context("no fixtures")?;
    ensure!(fixtures.len() == servers, "{} fixtures", fixtures.len());
    for fixture in fixtures {
        ensure!(&fixture[member] == expected, "{member} in {fixture}");
    }
    Ok(())
}

/// Checks the observations of a step.
fn check_step(
    step: AcceptanceStep,
    report: &Value,
    agreed: Option<&String>,
    cell: &MatrixCell,
) -> Result<()> {
    let servers = cell.prefixes.len();
    match step {
        AcceptanceStep::Connect => {
            let agreed = agreed.context("it named no version")?;
            ensure!(agreed == cell.version, "agreed on {agreed}");
            let said = report.get("protocol");
            ensure!(said.is_none_or(|said| said == agreed), "it says {said:?}");
        }
        AcceptanceStep::List => {
            let tools = report["tools"].as_array().context("no tools")?;
            for prefix in cell.prefixes {
                let echo = format!("{prefix}echo");
                ensure!(tools.iter().any(|tool| tool == &echo), "{echo}: {tools:?}");
            }
        }
        AcceptanceStep::Call => {
            ensure!(report["text"] == MESSAGE, "{}", report["text"]);
            check_each_fixture(report, servers, "text", &json!(MESSAGE))?;
        }
        AcceptanceStep::Failing => check_each_fixture(report, servers, "failing", &json!(FAILURE))?,
        AcceptanceStep::Unknown => {
            let unknown = &report["unknown"];
            let words = unknown["message"].as_str().unwrap_or_default();
            ensure!(unknown["code"] == -32602, "{unknown}");
            ensure!(words.contains(UNKNOWN), "{unknown}");
        }
        AcceptanceStep::Changed => ensure!(report["changed"] == true, "{}", report["changed"]),
        AcceptanceStep::Progress => {
            let fixtures = report["fixtures"].as_array().context("no fixtures")?;
            let steps = |fixture: &Value| -> Option<Vec<f64>> {
                let steps = fixture["progress"].as_array()?;
                steps.iter().map(Value::as_f64).collect()
            };
            for fixture in fixtures {
                let steps = steps(fixture).with_context(|| fixture.to_string())?;
                ensure!(steps == [0.0, 50.0, 100.0], "{fixture}");
            }
        }
    }
    Ok(())
}

/// Cell of the matrix: a client at an endpoint.
struct MatrixCell {
    version: &'static str,
    prefixes: &'static [&'static str],
}

/// Runs a client at an endpoint; returns failures by step.
async fn run_client(
    client: &RealClient,
    up: &ToolgateUp,
    home: &Sandbox,
    (gateway, token, prefixes): (&str, &str, &'static [&'static str]),
) -> Result<Vec<String>> {
    let witness = BearerProxy::start(up.mcp(), NO_TOKEN).await?;
    let url = format!("http://{}/v1/mcp/{gateway}", witness.address());
    let tool = format!("{}echo", prefixes.first().context("no prefix")?);
    let mut rest = vec![tool.as_str(), MESSAGE];
    rest.extend(prefixes);
    let report = client.run(home.path(), &url, token, &rest).await?;
    if let Some(failed) = report.get("failed") {
        return Ok(vec![format!("{}: {failed}", client.name)]);
    }
    let versions = witness.versions();
    println!("{gateway}: {} named {}", client.name, versions.join(", "));
    let version = client.version;
    let cell = MatrixCell { version, prefixes };
    let mut failures = Vec::new();
    for step in STEPS {
        if let Some(reason) = known_gap(client, step) {
            println!("{gateway}: {} without {step:?}: {reason}", client.name);
        } else if let Err(error) = check_step(step, &report, versions.last(), &cell) {
            failures.push(format!("{}, {step:?}: {error:#}", client.name));
        }
    }
    Ok(failures)
}

/// Runs every client at one endpoint.
async fn run_all_clients(
    up: &ToolgateUp,
    gateway: &str,
    token: &str,
    prefixes: &'static [&'static str],
) {
    let mut failures = Vec::new();
    for client in CLIENTS {
        let home = Sandbox::new("home").unwrap();
        match run_client(client, up, &home, (gateway, token, prefixes)).await {
            Ok(more) => failures.extend(more),
            Err(error) => failures.push(format!("{}: {error:#}", client.name)),
        }
    }
    let failures = failures.join("\n");
    assert!(failures.is_empty(), "at {gateway}:\n{failures}");
}

async fn run_single_server(name: &str, flag: &str) {
    let sandbox = Sandbox::new(name).unwrap();
    let server = UpstreamServer::fixture(&sandbox, name, &[flag])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up.expose(name, server.url(), "single").await.unwrap();
    run_all_clients(&up, name, &token, &[""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_through_the_gateway_with_a_legacy_server() {
    run_single_server("old", "--legacy-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_through_the_gateway_with_a_modern_server() {
    run_single_server("new", "--modern-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_with_servers_of_both_eras_behind_one_gateway() {
    let sandbox = Sandbox::new("both").unwrap();
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
    let gateway = "gateway create all --server old --server new";
    let gateway: Vec<&str> = gateway.split(' ').collect();
    cli.run(&gateway).await.unwrap();
    let token = cli.token("everybody", &["--gateway", "all"]).await.unwrap();
    run_all_clients(&up, "all", &token, &["old__", "new__"]).await;

    // An invalid token rejects every client.
    let before = old.counts().await.unwrap().tools;
    for client in CLIENTS {
        let wrong = "archestra_0000000000000000000000000000000000000000000";
        let home = Sandbox::new("home").unwrap();
        let report = client
            .run(home.path(), &up.url("all"), wrong, &["old__echo", MESSAGE])
            .await
            .unwrap();
        assert!(report.get("failed").is_some(), "{}: {report}", client.name);
    }
    assert_eq!(old.counts().await.unwrap().tools, before);
}

#[test]
fn every_documented_gap_names_an_existing_client() {
    for (name, step, reason) in KNOWN_GAPS {
        let known = CLIENTS.iter().any(|client| client.name.starts_with(name));
        assert!(known && !reason.is_empty(), "{name}, {step:?}");
    }
}
