//! The official conformance suite in client mode: its servers are behind the gateway, Python `mcp` is the client, and
//! the suite checks the requests that it receives. Known failures are listed in `conformance-expected-client-*.yml`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of two flavours"
)]

use toolgate_tests::conformance_suite;
use toolgate_tests::external_programs;
use toolgate_tests::toolgate::start_deployment;

async fn assert_passes(version: &str) {
    let (sandbox, up, cli) = start_deployment("suite").await.unwrap();
    let binary = external_programs::toolgate().unwrap();
    let endpoint = format!("http://{}", up.mcp());
    let mut environment = vec![
        ("TOOLGATE", binary.to_str().unwrap()),
        ("TOOLGATE_ENDPOINT", &endpoint),
    ];
    environment.extend(cli.environment());
    let expected = format!("conformance-expected-client-{version}.yml");
    let driver = "conformance_driver.py";
    let outcome =
        conformance_suite::test_client(driver, version, &expected, &environment, sandbox.path())
            .await
            .unwrap();
    println!("{version} as a client:{}", outcome.summary);
    assert!(outcome.passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2025_11_25_client_suite_passes_against_the_gateway() {
    assert_passes("2025-11-25").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2026_07_28_client_suite_passes_against_the_gateway() {
    assert_passes("2026-07-28").await;
}
