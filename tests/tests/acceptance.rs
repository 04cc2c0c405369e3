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
use toolgate_tests::bearer::Bearer;
use toolgate_tests::clients::{Client, LEGACY, MODERN, Runtime};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::toolgate::Up;

const MESSAGE: &str = "grüße \u{1f980} through the gateway";
const FAILURE: &str = "This tool intentionally returns an error for testing";
const UNKNOWN: &str = "no_such_tool_anywhere";
/// Placeholder of a missing token. The gateway must never have to add a token: every client sends its own.
const NO_TOKEN: &str = "no-token-was-sent";

const CLIENTS: &[Client] = &[
    Client::of(
        "Claude Code 2.1.330",
        Runtime::Node,
        &["claude_code.mjs"],
        MODERN,
    ),
    Client::of(
        "Python mcp 2.3.0, auto",
        Runtime::Python(2),
        &["python2.py", "auto"],
        MODERN,
    ),
    Client::of(
        "Python mcp 2.3.0, legacy",
        Runtime::Python(2),
        &["python2.py", "legacy"],
        LEGACY,
    ),
    Client::of(
        "FastMCP 4.1.2, auto",
        Runtime::Python(2),
        &["fastmcp4.py", "auto"],
        MODERN,
    ),
    Client::of(
        "FastMCP 4.1.2, legacy",
        Runtime::Python(2),
        &["fastmcp4.py", "legacy"],
        LEGACY,
    ),
    Client::of(
        "TypeScript SDK 1.32.2",
        Runtime::Node,
        &["typescript.mjs", "v1"],
        LEGACY,
    ),
    Client::of(
        "TypeScript SDK 2.4.0, auto",
        Runtime::Node,
        &["typescript.mjs", "v2"],
        MODERN,
    ),
    Client::of(
        "Inspector CLI 2.12.0, legacy",
        Runtime::Node,
        &["inspector.mjs", "legacy"],
        LEGACY,
    ),
    Client::of(
        "Inspector CLI 2.12.0, modern",
        Runtime::Node,
        &["inspector.mjs", "modern"],
        MODERN,
    ),
    Client::of(
        "openai-agents 0.24.0",
        Runtime::Python(2),
        &["openai_agents.py"],
        MODERN,
    ),
    Client::of(
        "langchain-mcp-adapters 0.3.2",
        Runtime::Python(1),
        &["langchain_adapters.py"],
        LEGACY,
    ),
];

/// Action of a client in each cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connect,
    List,
    Call,
    Failing,
    Unknown,
    Progress,
    Changed,
}

const STEPS: [Step; 7] = [
    Step::Connect,
    Step::List,
    Step::Call,
    Step::Failing,
    Step::Unknown,
    Step::Progress,
    Step::Changed,
];

/// Gaps of clients: (start of the client name, step, reason).
const LACKS: &[(&str, Step, &str)] = &[
    (
        "Claude Code",
        Step::Unknown,
        "it tells its model that there is no such tool, and asks nobody for it",
    ),
    (
        "Claude Code",
        Step::Progress,
        "it shows it to a person at a terminal, and to nobody else",
    ),
    (
        "Inspector CLI",
        Step::Changed,
        "its one request ends it, or it prints log messages and updates of resources only",
    ),
    (
        "Inspector CLI",
        Step::Unknown,
        "it looks a tool up in the list and never asks for one that is not there",
    ),
    (
        "Inspector CLI",
        Step::Progress,
        "of a call it prints the result only",
    ),
];

fn lacks(client: &Client, step: Step) -> Option<&'static str> {
    let mut all = LACKS.iter();
    all.find(|(name, lacking, _)| client.name.starts_with(name) && *lacking == step)
        .map(|(_, _, reason)| *reason)
}

/// Checks that each fixture in the report has this value at `member`.
fn each(report: &Value, servers: usize, member: &str, expected: &Value) -> Result<()> {
    let fixtures = report["fixtures"].as_array().context("no fixtures")?;
    ensure!(fixtures.len() == servers, "{} fixtures", fixtures.len());
    for fixture in fixtures {
        ensure!(&fixture[member] == expected, "{member} in {fixture}");
    }
    Ok(())
}

/// Checks the observations of a step.
fn check(step: Step, report: &Value, agreed: Option<&String>, cell: &Cell) -> Result<()> {
    let servers = cell.prefixes.len();
    match step {
        Step::Connect => {
            let agreed = agreed.context("it named no version")?;
            ensure!(agreed == cell.version, "agreed on {agreed}");
            let said = report.get("protocol");
            ensure!(said.is_none_or(|said| said == agreed), "it says {said:?}");
        }
        Step::List => {
            let tools = report["tools"].as_array().context("no tools")?;
            for prefix in cell.prefixes {
                let echo = format!("{prefix}echo");
                ensure!(tools.iter().any(|tool| tool == &echo), "{echo}: {tools:?}");
            }
        }
        Step::Call => {
            ensure!(report["text"] == MESSAGE, "{}", report["text"]);
            each(report, servers, "text", &json!(MESSAGE))?;
        }
        Step::Failing => each(report, servers, "failing", &json!(FAILURE))?,
        Step::Unknown => {
            let unknown = &report["unknown"];
            let words = unknown["message"].as_str().unwrap_or_default();
            ensure!(unknown["code"] == -32602, "{unknown}");
            ensure!(words.contains(UNKNOWN), "{unknown}");
        }
        Step::Changed => ensure!(report["changed"] == true, "{}", report["changed"]),
        Step::Progress => {
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
struct Cell {
    version: &'static str,
    prefixes: &'static [&'static str],
}

/// Runs a client at an endpoint; returns failures by step.
async fn enter(
    client: &Client,
    up: &Up,
    home: &Sandbox,
    (gateway, token, prefixes): (&str, &str, &'static [&'static str]),
) -> Result<Vec<String>> {
    let witness = Bearer::start(up.mcp(), NO_TOKEN).await?;
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
    let cell = Cell { version, prefixes };
    let mut failures = Vec::new();
    for step in STEPS {
        if let Some(reason) = lacks(client, step) {
            println!("{gateway}: {} without {step:?}: {reason}", client.name);
        } else if let Err(error) = check(step, &report, versions.last(), &cell) {
            failures.push(format!("{}, {step:?}: {error:#}", client.name));
        }
    }
    Ok(failures)
}

/// Runs every client at one endpoint.
async fn meet(up: &Up, gateway: &str, token: &str, prefixes: &'static [&'static str]) {
    let mut failures = Vec::new();
    for client in CLIENTS {
        let home = Sandbox::new("home").unwrap();
        match enter(client, up, &home, (gateway, token, prefixes)).await {
            Ok(more) => failures.extend(more),
            Err(error) => failures.push(format!("{}: {error:#}", client.name)),
        }
    }
    let failures = failures.join("\n");
    assert!(failures.is_empty(), "at {gateway}:\n{failures}");
}

async fn one(name: &str, flag: &str) {
    let sandbox = Sandbox::new(name).unwrap();
    let server = Server::fixture(&sandbox, name, &[flag]).await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let token = up.expose(name, server.url(), "single").await.unwrap();
    meet(&up, name, &token, &[""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_before_a_legacy_server() {
    one("old", "--legacy-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_before_a_modern_server() {
    one("new", "--modern-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_before_both_behind_one_gateway() {
    let sandbox = Sandbox::new("both").unwrap();
    let old = Server::fixture(&sandbox, "old", &["--legacy-only"]);
    let old = old.await.unwrap();
    let new = Server::fixture(&sandbox, "new", &["--modern-only"]);
    let new = new.await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
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
    meet(&up, "all", &token, &["old__", "new__"]).await;

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
fn what_a_client_lacks_is_said_of_a_client() {
    for (name, step, reason) in LACKS {
        let known = CLIENTS.iter().any(|client| client.name.starts_with(name));
        assert!(known && !reason.is_empty(), "{name}, {step:?}");
    }
}
