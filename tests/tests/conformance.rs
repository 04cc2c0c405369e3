//! The official conformance suite in server mode against the gateway, with our fixture behind it, authentication on, in
//! both eras. What still fails stands in `conformance-expected-*.yml`: an unlisted failure fails here, and so does a
//! listed one that passes. What each scenario makes of a server of the other era stands in docs/conformance.md.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of several flavours"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use toolgate_tests::bearer::Bearer;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::suite::{self, Outcome};
use toolgate_tests::toolgate::Up;
use toolgate_tests::tools;

/// Before the fixture with this flag.
async fn through(version: &str, flag: &str, expected: Option<&str>) -> Outcome {
    let legacy = flag == "--legacy-only";
    let sandbox = Sandbox::new("conformance").unwrap();
    let server = Server::fixture(&sandbox, "fixture", &[flag]).await.unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let cli = up.cli().unwrap();
    let token = cli.expose("fixture", server.url(), "single").await.unwrap();
    cli.let_ask("fixture", server.url()).await.unwrap();
    let direct = up.url("fixture");
    suite::asks(&direct, &token).await.unwrap();
    suite::listed(server.url(), legacy, &direct, &token)
        .await
        .unwrap();
    let bearer = Bearer::start(up.mcp(), &token).await.unwrap();
    let url = format!("http://{}/v1/mcp/fixture", bearer.address());
    let outcome = suite::server(&url, version, expected).await.unwrap();
    println!("{version} before {flag}:{}", outcome.summary);
    outcome
}

/// Before a server of the same era.
async fn holds(version: &str, flag: &str, expected: &str) {
    let outcome = through(version, flag, Some(expected)).await;
    assert!(outcome.passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_11_25_holds_through_the_gateway() {
    holds(
        "2025-11-25",
        "--legacy-only",
        "conformance-expected-2025-11-25-legacy.yml",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_holds_through_the_gateway() {
    holds(
        "2026-07-28",
        "--modern-only",
        "conformance-expected-2026-07-28.yml",
    )
    .await;
}

/// One page, two tests.
static RECORDING: Mutex<()> = Mutex::new(());
const PASSES: &str = "passes";
const FAILS: &str = "fails";

fn page() -> PathBuf {
    tools::repository().join("docs/conformance.md")
}

/// Writes what was seen into the rows that are there.
fn write_down(version: &str, seen: &BTreeMap<String, bool>) {
    let page = std::fs::read_to_string(page()).unwrap();
    let (before, after) = page
        .split_once(&format!("<!-- crossed {version} -->"))
        .unwrap();
    let mut inside = true;
    let rows = after.split_inclusive('\n').map(|line| {
        inside &= !line.starts_with("<!--");
        let known = seen
            .iter()
            .find(|(name, _)| line.starts_with(&format!("| `{name}` |")));
        match known {
            Some((_, true)) if inside => line.replace("| fails |", "| passes |"),
            Some((_, false)) if inside => line.replace("| passes |", "| fails |"),
            _ => line.to_owned(),
        }
    });
    let rows: String = rows.collect();
    let written = format!("{before}<!-- crossed {version} -->{rows}");
    std::fs::write(self::page(), written).unwrap();
}

/// The rows of the table in docs/conformance.md that is marked by `<!-- crossed VERSION -->`: scenario to outcome.
fn record(version: &str) -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(page()).unwrap();
    let mark = format!("<!-- crossed {version} -->");
    let (_, table) = page.split_once(&mark).unwrap_or_default();
    let rows = table.trim_start().lines().map_while(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.replace('`', ""), cells.next()?.to_owned()))
    });
    let rows = rows.filter(|(_, seen)| seen == PASSES || seen == FAILS);
    rows.collect()
}

/// Before a server of the other era: scenario by scenario what the record says.
async fn crosses(version: &str, flag: &str, expected: Option<&str>) {
    let outcome = through(version, flag, expected).await;
    let seen = outcome.scenarios();
    assert!(seen.len() >= 30, "{seen:?}");
    if std::env::var_os("TOOLGATE_RECORD").is_some() {
        let _alone = RECORDING.lock().unwrap();
        write_down(version, &seen);
    }
    let record = record(version);
    let mut wrong = Vec::new();
    for (name, passed) in &seen {
        let now = if *passed { PASSES } else { FAILS };
        if record.get(name).map(String::as_str) != Some(now) {
            let said = record.get(name).map_or("nothing", String::as_str);
            wrong.push(format!("| `{name}` | {now} | the record says {said}"));
        }
    }
    let gone = record.keys().filter(|name| !seen.contains_key(*name));
    wrong.extend(gone.map(|name| format!("`{name}` was not run")));
    let wrong = wrong.join("\n");
    assert!(wrong.is_empty(), "{version} before {flag}:\n{wrong}");
    let passed = outcome.passed || expected.is_none();
    assert!(passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_11_25_before_a_modern_server_is_as_recorded() {
    crosses(
        "2025-11-25",
        "--modern-only",
        Some("conformance-expected-2025-11-25.yml"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_before_a_legacy_server_is_as_recorded() {
    crosses("2026-07-28", "--legacy-only", None).await;
}
