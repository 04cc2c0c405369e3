//! The official conformance suite in client mode: its servers are behind the gateway, Python `mcp` is the client, and
//! the suite checks the requests that it receives. Known failures are listed in `conformance-expected-client-*.yml`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of two flavours"
)]

use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::suite;
use toolgate_tests::toolgate::Up;
use toolgate_tests::tools;

async fn holds(version: &str) {
    let sandbox = Sandbox::new("suite").unwrap();
    let up = Up::start(&sandbox, &[]).await.unwrap();
    let cli = up.cli().unwrap();
    let binary = tools::toolgate().unwrap();
    let endpoint = format!("http://{}", up.mcp());
    let mut environment = vec![
        ("TOOLGATE", binary.to_str().unwrap()),
        ("TOOLGATE_ENDPOINT", &endpoint),
    ];
    environment.extend(cli.environment());
    let expected = format!("conformance-expected-client-{version}.yml");
    let driver = "conformance_driver.py";
    let outcome = suite::client(driver, version, &expected, &environment, sandbox.path())
        .await
        .unwrap();
    println!("{version} as a client:{}", outcome.summary);
    assert!(outcome.passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_the_suite_of_2025_11_25_find_nothing_wrong_with_the_gateway() {
    holds("2025-11-25").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_the_suite_of_2026_07_28_find_nothing_wrong_with_the_gateway() {
    holds("2026-07-28").await;
}
