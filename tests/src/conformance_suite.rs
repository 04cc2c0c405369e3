//! The official conformance suite, pinned in `tests/clients`, in both roles: it tests a server at a URL, or a client
//! that it starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::agent::Agent;
use crate::clock::{HANG_GUARD, eventually};
use crate::external_programs;
use crate::toolgate::text;

const SUITE_TIMEOUT: Duration = Duration::from_secs(300);
/// Timeout of each scenario of a client in milliseconds; the suite starts all of them at once.
const CLIENT_SCENARIO_TIMEOUT_MS: &str = "90000";

/// Outcome of a run.
#[derive(Debug)]
pub struct SuiteOutcome {
    /// True if everything scored passed or failed as expected.
    pub passed: bool,
    /// Summary that the suite prints at its end.
    pub summary: String,
}

impl SuiteOutcome {
    /// Each scenario that was run, scored or not, and `true` if it passed.
    #[must_use]
    pub fn scenarios(&self) -> BTreeMap<String, bool> {
        let lines = self.summary.lines().filter_map(|line| {
            let passed = line.starts_with('\u{2713}');
            let line = line.strip_prefix(['\u{2713}', '\u{2717}'])?;
            let (name, counts) = line.split_once(": ")?;
            counts.contains("passed").then_some(())?;
            Some((name.trim().to_owned(), passed))
        });
        lines.collect()
    }
}

async fn run(mut command: Command) -> Result<SuiteOutcome> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(SUITE_TIMEOUT, command.output())
        .await
        .context("the suite does not end")??;
    let printed = text(&output.stdout) + &text(&output.stderr);
    let summary = printed.split_once("SUMMARY ===").map(|(_, rest)| rest);
    let summary = summary.unwrap_or(&printed).to_owned();
    let passed = output.status.success();
    Ok(SuiteOutcome { passed, summary })
}

/// Command of the suite with these arguments and a file of `tests` that lists expected failures.
fn suite_command(arguments: &[&str], expected: Option<&str>) -> Result<Command> {
    let mut command = Command::new(external_programs::node()?);
    let program = "@modelcontextprotocol/conformance/dist/index.js";
    command
        .arg(external_programs::package(program)?)
        .args(arguments);
    if let Some(file) = expected {
        let file = external_programs::repository().join("tests").join(file);
        command.arg("--expected-failures").arg(file);
    }
    Ok(command)
}

/// Tests the server at `url` against the requirements of a protocol version.
pub async fn test_server(url: &str, version: &str, expected: Option<&str>) -> Result<SuiteOutcome> {
    let arguments = ["server", "--url", url, "--requirements", version];
    run(suite_command(&arguments, expected)?).await
}

/// Tests a client against the requirements of a version: a script of `tests/clients`, run with this environment in
/// `home`.
pub async fn test_client(
    script: &str,
    version: &str,
    expected: &str,
    environment: &[(&str, &str)],
    home: &Path,
) -> Result<SuiteOutcome> {
    let script = external_programs::script(script)?;
    let line = format!(
        "{} {}",
        external_programs::python(2)?.display(),
        script.display()
    );
    let arguments = ["client", "--command", &line, "--requirements", version];
    let mut command = suite_command(&arguments, Some(expected))?;
    command.args(["--timeout", CLIENT_SCENARIO_TIMEOUT_MS]);
    command.envs(environment.iter().copied()).env("HOME", home);
    run(command).await
}

/// Checks that the gateway at `url` lists everything that the fixture lists. Without it the suite passes vacuously,
/// because it skips what a server lacks.
pub async fn assert_fixture_listed(
    fixture: &str,
    legacy: bool,
    url: &str,
    token: &str,
) -> Result<()> {
    let direct = match legacy {
        true => Agent::legacy(fixture, "").await?,
        false => Agent::modern(fixture, ""),
    };
    let mut direct = direct.tools().await.context("of the fixture")?;
    let mut through = Agent::modern(url, token).tools().await?;
    direct.sort();
    through.sort();
    ensure!(direct == through, "direct {direct:?}\nthrough {through:?}");
    let asked = direct.iter().filter(|name| name.starts_with("test_"));
    ensure!(asked.count() >= 25, "{direct:?}");
    Ok(())
}

/// Waits until the relay policy of the server behind `url` allows all server requests.
pub async fn await_relay_policy(url: &str, token: &str) -> Result<()> {
    let agent = Agent::modern(url, token).declaring(json!({"sampling": {}}));
    eventually("the server may ask models", HANG_GUARD, || async {
        let result = agent.call("test_sampling", json!({"prompt": "?"})).await?;
        ensure!(result["resultType"] == "input_required", "{result}");
        Ok(())
    })
    .await
}
