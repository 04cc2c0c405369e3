//! The official conformance suite through haproxy, which sends every request to another of three proxies: clients see
//! no difference, so the lists of expected failures are those of a single proxy.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario of several flavours"
)]

use toolgate_tests::bearer::Bearer;
use toolgate_tests::many::Fleet;
use toolgate_tests::record;
use toolgate_tests::suite::{self, Outcome};

async fn through(version: &str, flag: &str, expected: Option<&str>) -> Outcome {
    let fleet = Fleet::start("suite", &[flag]).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    cli.let_ask("main", fleet.server.url()).await.unwrap();
    let legacy = flag == "--legacy-only";
    for at in 0..fleet.proxies.len() {
        let url = fleet.url(at);
        suite::asks(&url, &fleet.token).await.unwrap();
        suite::listed(fleet.server.url(), legacy, &url, &fleet.token)
            .await
            .unwrap();
    }
    let balancer = fleet.balance().await.unwrap();
    let bearer = Bearer::start(balancer.address(), &fleet.token)
        .await
        .unwrap();
    let url = format!("http://{}/v1/mcp/main", bearer.address());
    let outcome = suite::server(&url, version, expected).await.unwrap();
    println!("{version} through haproxy:{}", outcome.summary);
    for proxy in 1..=fleet.proxies.len() {
        let requests = balancer.requests(proxy);
        println!("proxy {proxy}: {requests} requests");
        assert!(requests >= 20, "proxy {proxy}: {requests} requests");
    }
    outcome
}

async fn holds(version: &str, flag: &str, expected: &str) {
    let outcome = through(version, flag, Some(expected)).await;
    assert!(outcome.passed, "{version}: not as expected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_11_25_does_not_notice_that_there_are_three_proxies() {
    holds(
        "2025-11-25",
        "--legacy-only",
        "conformance-expected-2025-11-25-legacy.yml",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_does_not_notice_that_there_are_three_proxies() {
    holds(
        "2026-07-28",
        "--modern-only",
        "conformance-expected-2026-07-28.yml",
    )
    .await;
}

/// Suspended calls of one proxy whose clients retry through others.
#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_before_a_legacy_server_does_not_notice_either() {
    let version = "2026-07-28";
    let outcome = through(version, "--legacy-only", None).await;
    let wrong = record::differs(version, &outcome.scenarios()).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
