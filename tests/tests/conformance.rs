//! The official conformance suite in server mode against the gateway with the fixture server behind it, authentication
//! on, in both eras. Known failures are listed in `conformance-expected-*.yml`: an unlisted failure fails here, and so
//! does a passing scenario that is listed. Outcomes against a server of the other era are recorded in
//! docs/conformance.md.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of several flavours"
)]

use toolgate_tests::bearer::Bearer;
use toolgate_tests::record;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::server::Server;
use toolgate_tests::suite::{self, Outcome};
use toolgate_tests::toolgate::Up;

/// Runs the suite through a gateway to the fixture with this flag.
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

/// Asserts that the suite passes with a server of the same era.
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

/// Asserts that each scenario with a server of the other era matches the record.
async fn crosses(version: &str, flag: &str, expected: Option<&str>) {
    let outcome = through(version, flag, expected).await;
    let seen = outcome.scenarios();
    assert!(seen.len() >= 30, "{seen:?}");
    if std::env::var_os("TOOLGATE_RECORD").is_some() {
        record::write(version, &seen).unwrap();
    }
    let wrong = record::differs(version, &seen).unwrap();
    assert!(wrong.is_empty(), "before {flag}:\n{}", wrong.join("\n"));
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
