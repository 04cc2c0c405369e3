//! Tokens are revoked while proxies serve a load, also through the only control plane that is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now, within};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess};
use toolgate_tests::upstream_server::UpstreamServer;

/// Tokens that are revoked with both control planes, and as many with one.
const TOKENS: usize = 10;

/// Requests per second of the whole load in a drill.
const DRILL_RATE: u32 = 1_000;

/// Longest time until all proxies refuse a token, with both control planes and with one.
const FIGURES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(10)];

struct RevocationScenario {
    plane: ControlPlaneProcess,
    replica: ControlPlaneProcess,
    proxies: Vec<ProxyProcess>,
    _server: UpstreamServer,
    _etcd: TestEtcdCluster,
    _sandbox: Sandbox,
}

impl RevocationScenario {
    async fn start(proxies: usize) -> Result<Self> {
        let sandbox = Sandbox::new("revocations")?;
        let etcd = TestEtcdCluster::start(&sandbox, 1).await?;
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[]).await?;
        let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints()).await?;
        let replica = plane.start_replica("replica").await?;
        let other = format!("https://{}", replica.push());
        let mut scenario = Self {
            plane,
            replica,
            proxies: Vec::new(),
            _server: server,
            _etcd: etcd,
            _sandbox: sandbox,
        };
        for number in 1..=proxies {
            let flags = ["--control-plane", other.as_str()];
            let name = format!("proxy-{number}");
            let joined =
                ProxyProcess::join_with(&scenario._sandbox, &name, &scenario.plane, &flags).await?;
            scenario.proxies.push(joined);
        }
        let cli = scenario.plane.cli()?;
        cli.expose("main", scenario._server.url(), "single").await?;
        Ok(scenario)
    }

    /// Command line at the control plane that stays.
    fn cli(&self) -> Result<CommandLine> {
        self.replica.cli()
    }

    fn agents(&self, token: &str) -> Vec<Agent> {
        let agent = |proxy: &ProxyProcess| Agent::modern(&proxy.url("main"), token);
        self.proxies.iter().map(agent).collect()
    }

    /// Creates tokens that all proxies accept.
    async fn create_tokens(&self, round: usize) -> Result<Vec<(String, String)>> {
        let mut tokens = Vec::new();
        for number in 0..TOKENS {
            let name = format!("t-{round}-{number}");
            let token = self.cli()?.token(&name, &[]).await?;
            tokens.push((name, token));
        }
        for (_, token) in &tokens {
            for agent in self.agents(token) {
                eventually("the token works", HANG_GUARD, || agent.tools()).await?;
            }
        }
        Ok(tokens)
    }

    /// Revokes a token; returns the time until every proxy refuses it.
    async fn revoke(&self, name: &str, token: &str, figure: Duration) -> Result<Vec<Duration>> {
        self.cli()?.run(&["token", "revoke", name]).await?;
        let start = now();
        let mut waiting = JoinSet::new();
        for agent in self.agents(token) {
            waiting.spawn(async move {
                eventually("the token is refused", within(figure), || async {
                    let reply = agent.request("tools/list", json!({})).await?;
                    ensure!(reply.status.as_u16() == 401, "still {}", reply.status);
                    Ok(())
                })
                .await?;
                anyhow::Ok(start.elapsed())
            });
        }
        let mut took = Vec::new();
        while let Some(ended) = waiting.join_next().await {
            took.push(ended??);
        }
        Ok(took)
    }
}

/// Calls in a loop until `ended`; returns the failures. In a drill, each of `shares` loops keeps its part of the rate.
async fn load(
    agent: Agent,
    ended: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    shares: u32,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) * shares / DRILL_RATE);
    while !ended.load(Ordering::Relaxed) {
        if is_drill() {
            tick.tick().await;
        }
        if let Err(error) = agent.echo("echo", "load").await {
            failures.push(format!("{error:#}"));
        }
        calls.fetch_add(1, Ordering::Relaxed);
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn oa_16_tokens_are_revoked_on_all_proxies_under_load_also_without_one_control_plane() {
    let proxies = if is_drill() { 10 } else { 3 };
    let mut scenario = RevocationScenario::start(proxies).await.unwrap();
    let kept = scenario.cli().unwrap().token("kept", &[]).await.unwrap();
    for agent in scenario.agents(&kept) {
        eventually("the token works", HANG_GUARD, || agent.tools())
            .await
            .unwrap();
    }
    let (ended, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut loads = JoinSet::new();
    let loops_per_proxy = if is_drill() { 4 } else { 1 };
    let shares = u32::try_from(proxies * loops_per_proxy).unwrap();
    for _ in 0..loops_per_proxy {
        for agent in scenario.agents(&kept) {
            loads.spawn(load(agent, Arc::clone(&ended), Arc::clone(&calls), shares));
        }
    }
    let began = now();
    for (round, figure) in FIGURES.into_iter().enumerate() {
        let tokens = scenario.create_tokens(round).await.unwrap();
        if round == 1 {
            scenario.plane.kill().unwrap();
        }
        let mut all = Vec::new();
        for (name, token) in &tokens {
            all.extend(scenario.revoke(name, token, figure).await.unwrap());
        }
        assert_eq!(all.len(), TOKENS * proxies);
        all.sort();
        let p99 = all[all.len() * 99 / 100];
        println!(
            "round {round}: p99 {p99:?}, at most {:?}",
            all[all.len() - 1]
        );
        if is_drill() && round == 0 {
            assert!(p99 <= Duration::from_secs(2), "{p99:?}");
        }
    }
    ended.store(true, Ordering::Relaxed);
    let rate = calls.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} calls a second on {proxies} proxies");
    if is_drill() {
        assert!(rate > f64::from(DRILL_RATE) * 0.9, "{rate}");
    }
    assert!(calls.load(Ordering::Relaxed) > 100);
    while let Some(failures) = loads.join_next().await {
        assert_eq!(failures.unwrap(), Vec::<String>::new());
    }
}
