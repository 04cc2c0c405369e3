//! The official conformance suite in server mode against the gateway with the fixture server behind it, authentication
//! on, in both eras. Known failures are listed in `conformance-expected-*.yml`: an unlisted failure fails here, and so
//! does a passing scenario that is listed. Outcomes against a server of the other era are recorded in
//! docs/conformance.md.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of several flavours"
)]

use toolgate_tests::bearer_proxy::BearerProxy;
use toolgate_tests::conformance_record;
use toolgate_tests::conformance_suite::{self, SuiteOutcome};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

/// Flag of a fixture that serves both eras: none.
const BOTH_ERAS: &str = "";

/// Runs the suite through a gateway to the fixture with this flag.
async fn run_suite(version: &str, flag: &str, expected: Option<&str>) -> SuiteOutcome {
    let legacy = flag == "--legacy-only";
    let sandbox = Sandbox::new("conformance").unwrap();
    let flags = [flag];
    let flags = flags.get(usize::from(flag == BOTH_ERAS)..).unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", flags)
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let cli = up.cli().unwrap();
    let token = cli.expose("fixture", server.url(), "single").await.unwrap();
    cli.allow_all_requests("fixture", server.url())
        .await
        .unwrap();
    let direct = up.url("fixture");
    conformance_suite::await_relay_policy(&direct, &token)
        .await
        .unwrap();
    conformance_suite::assert_fixture_listed(server.url(), legacy, &direct, &token)
        .await
        .unwrap();
    let bearer = BearerProxy::start(up.mcp(), &token).await.unwrap();
    let url = format!("http://{}/v1/mcp/fixture", bearer.address());
    let outcome = conformance_suite::test_server(&url, version, expected)
        .await
        .unwrap();
    println!("{version} before {flag}:{}", outcome.summary);
    outcome
}

/// Asserts that the suite passes with a server of the same era.
async fn assert_passes(version: &str, flag: &str, expected: &str) {
    let outcome = run_suite(version, flag, Some(expected)).await;
    assert!(outcome.passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2025_11_25_suite_passes_through_the_gateway() {
    assert_passes(
        "2025-11-25",
        "--legacy-only",
        "conformance-expected-2025-11-25-legacy.yml",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2026_07_28_suite_passes_through_the_gateway() {
    assert_passes(
        "2026-07-28",
        "--modern-only",
        "conformance-expected-2026-07-28.yml",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_suites_pass_with_a_server_of_both_eras() {
    let legacy = "conformance-expected-2025-11-25-legacy.yml";
    assert_passes("2025-11-25", BOTH_ERAS, legacy).await;
    let modern = "conformance-expected-2026-07-28.yml";
    assert_passes("2026-07-28", BOTH_ERAS, modern).await;
}

/// Asserts that each scenario with a server of the other era matches the record.
async fn assert_matches_record(version: &str, flag: &str, expected: Option<&str>) {
    let outcome = run_suite(version, flag, expected).await;
    let seen = outcome.scenarios();
    assert!(seen.len() >= 30, "{seen:?}");
    if std::env::var_os("TOOLGATE_RECORD").is_some() {
        conformance_record::write(version, &seen).unwrap();
    }
    let wrong = conformance_record::differences(version, &seen).unwrap();
    assert!(wrong.is_empty(), "before {flag}:\n{}", wrong.join("\n"));
    let passed = outcome.passed || expected.is_none();
    assert!(passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2025_11_25_suite_against_a_modern_server_matches_the_record() {
    assert_matches_record(
        "2025-11-25",
        "--modern-only",
        Some("conformance-expected-2025-11-25.yml"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2026_07_28_suite_against_a_legacy_server_matches_the_record() {
    assert_matches_record("2026-07-28", "--legacy-only", None).await;
}
