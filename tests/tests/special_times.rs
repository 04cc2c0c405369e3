//! A fleet that starts before a special time serves over it: its certificates, join tokens, tokens and sessions are valid, and it
//! prints the time as the calendar has it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::shifted_clock::ShiftedClock;
use toolgate_tests::toolgate::{ControlPlaneProcess, ProxyProcess};
use toolgate_tests::upstream_server::UpstreamServer;

/// Milliseconds since 1970, as in RFC 3339, and the reason.
const SPECIAL_TIMES: &str = include_str!("../fixtures/special-times.txt");

/// Time from the start of the processes to the special time.
const BEFORE: Duration = Duration::from_secs(12);

#[expect(
    clippy::disallowed_methods,
    reason = "the difference of the clock of a process to that of the machine"
)]
fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Starts a fleet some seconds before `at`, and calls before and after it.
async fn serve_over(at: Duration, text: &str) -> Result<()> {
    let sandbox = Sandbox::new("special-time")?;
    let etcd = TestEtcdCluster::start(&sandbox, 1).await?;
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[]).await?;
    let begun = since_1970();
    let difference = at.saturating_sub(BEFORE).saturating_sub(begun).as_secs();
    let clock = ShiftedClock::new(&sandbox, "fleet", &format!("+{difference}s"))?;
    let endpoints = etcd.endpoints();
    let plane = ControlPlaneProcess::start_at(&sandbox, "plane", &endpoints, &[], Some(&clock));
    let plane = plane.await?;
    let joining = ProxyProcess::start_joining(&sandbox, "proxy-1", &plane, &[], Some(clock));
    let mut proxy = joining.await?;
    proxy.ready().await?;
    let cli = plane.cli()?;
    let token = cli.expose("fixture", server.url(), "single").await?;
    let modern = Agent::modern(&proxy.url("fixture"), &token);
    eventually("a call", HANG_GUARD, || modern.call("headers", json!({}))).await?;
    let legacy = Agent::legacy(&proxy.url("fixture"), &token).await?;
    legacy.call("headers", json!({})).await?;

    let passed = since_1970().saturating_sub(begun);
    let left = (BEFORE + Duration::from_secs(2)).saturating_sub(passed);
    tokio::time::sleep(left).await;
    // The session of before goes on, a new one and a proxy that starts are served, and a write reaches the proxy.
    legacy.call("headers", json!({})).await?;
    proxy.restart().await?;
    let token = cli.token("after", &["--gateway", "fixture"]).await?;
    let agent = Agent::modern(&proxy.url("fixture"), &token);
    eventually("a call", HANG_GUARD, || agent.call("headers", json!({}))).await?;
    Agent::legacy(&proxy.url("fixture"), &token).await?;
    let made = cli.json(&["get", "token", "after"]).await?;
    let created = made["metadata"]["createTime"].as_str();
    let created = created.with_context(|| made.to_string())?;
    ensure!(created >= text, "{created} is before {text}");
    let year: u32 = text.split('-').next().unwrap_or_default().parse()?;
    let shown: u32 = created.split('-').next().unwrap_or_default().parse()?;
    ensure!(shown - year <= 1, "{created} is long after {text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn se_15_a_fleet_serves_over_special_times() {
    let mut tried = 0;
    for line in SPECIAL_TIMES.lines() {
        let (millis, rest) = line.split_once(' ').unwrap();
        let (text, why) = rest.split_once(' ').unwrap();
        // A drill has all of them, and every run the two that programs miss most often.
        let is_usual = why == "a leap day begins" || why.ends_with("of 32 bits end");
        if !is_drill() && !is_usual {
            continue;
        }
        let at = Duration::from_millis(millis.parse().unwrap());
        if let Err(error) = serve_over(at, text).await {
            panic!("{why}: {error:#}");
        }
        tried += 1;
    }
    assert_eq!(tried, if is_drill() { 12 } else { 2 });
}
