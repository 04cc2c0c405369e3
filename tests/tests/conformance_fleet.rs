//! The official conformance suite through haproxy, which sends every request to another of three proxies: clients see
//! no difference, so the lists of expected failures are the same as for a single proxy.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of several flavours"
)]

use toolgate_tests::bearer_proxy::BearerProxy;
use toolgate_tests::conformance_record;
use toolgate_tests::conformance_suite::{self, SuiteOutcome};
use toolgate_tests::proxy_fleet::ProxyFleet;

async fn run_suite(version: &str, flag: &str, expected: Option<&str>) -> SuiteOutcome {
    let fleet = ProxyFleet::start("suite", &[flag]).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    cli.allow_all_requests("main", fleet.server.url())
        .await
        .unwrap();
    let legacy = flag == "--legacy-only";
    for at in 0..fleet.proxies.len() {
        let url = fleet.url(at);
        conformance_suite::await_relay_policy(&url, &fleet.token)
            .await
            .unwrap();
        conformance_suite::assert_fixture_listed(fleet.server.url(), legacy, &url, &fleet.token)
            .await
            .unwrap();
    }
    let balancer = fleet.start_load_balancer().await.unwrap();
    let bearer = BearerProxy::start(balancer.address(), &fleet.token)
        .await
        .unwrap();
    let url = format!("http://{}/v1/mcp/main", bearer.address());
    let outcome = conformance_suite::test_server(&url, version, expected)
        .await
        .unwrap();
    println!("{version} through haproxy:{}", outcome.summary);
    for proxy in 1..=fleet.proxies.len() {
        let requests = balancer.requests(proxy);
        println!("proxy {proxy}: {requests} requests");
        assert!(requests >= 20, "proxy {proxy}: {requests} requests");
    }
    outcome
}

async fn assert_passes(version: &str, flag: &str, expected: &str) {
    let outcome = run_suite(version, flag, Some(expected)).await;
    assert!(outcome.passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2025_11_25_suite_passes_with_three_proxies() {
    assert_passes(
        "2025-11-25",
        "--legacy-only",
        "conformance-expected-2025-11-25-legacy.yml",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_2026_07_28_suite_passes_with_three_proxies() {
    assert_passes(
        "2026-07-28",
        "--modern-only",
        "conformance-expected-2026-07-28.yml",
    )
    .await;
}

/// Suspended calls of one proxy whose clients retry through others.
#[tokio::test(flavor = "multi_thread")]
async fn the_2026_07_28_suite_against_a_legacy_server_matches_with_three_proxies() {
    let version = "2026-07-28";
    let outcome = run_suite(version, "--legacy-only", None).await;
    let wrong = conformance_record::differences(version, &outcome.scenarios()).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
