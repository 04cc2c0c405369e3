//! Separate processes with a real etcd: convergence, a dead control plane, a poisoned store, a frozen member.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, now, throughout, within};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ControlPlaneProcess, ProxyProcess};
use toolgate_tests::upstream_server::UpstreamServer;

/// Limit until a write is on every proxy: far above the goal, for a busy test machine.
const CONVERGENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of damaged forms of a record: more than the control plane looks for an earlier one.
const DAMAGED_FORMS: usize = 10;
/// Limit until a frozen etcd member is abandoned.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(15);

/// A control plane, three proxies, a server and a token.
struct EtcdFleet {
    proxies: Vec<ProxyProcess>,
    plane: ControlPlaneProcess,
    server: UpstreamServer,
    token: String,
    etcd: TestEtcdCluster,
    _sandbox: Sandbox,
}

impl EtcdFleet {
    async fn start(name: &str, members: usize) -> Result<Self> {
        let sandbox = Sandbox::new(name)?;
        let etcd = TestEtcdCluster::start(&sandbox, members).await?;
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[]).await?;
        let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints()).await?;
        let mut proxies = Vec::new();
        for number in 1..=3 {
            proxies.push(ProxyProcess::join(&sandbox, &format!("proxy-{number}"), &plane).await?);
        }
        let cli = plane.cli()?;
        cli.expose("main", server.url(), "single").await?;
        let token = cli.token("everywhere", &[]).await?;
        let fleet = Self {
            proxies,
            plane,
            server,
            token,
            etcd,
            _sandbox: sandbox,
        };
        fleet.check_served("main", HANG_GUARD).await?;
        Ok(fleet)
    }

    /// Checks that every proxy serves a call at this gateway within this time.
    async fn check_served(&self, gateway: &str, most: Duration) -> Result<()> {
        for proxy in &self.proxies {
            let agent = Agent::modern(&proxy.url(gateway), &self.token);
            eventually(
                &format!("{} calls a tool", proxy.url(gateway)),
                most,
                || async { agent.echo("echo", "hello").await },
            )
            .await?;
        }
        Ok(())
    }

    /// Creates a gateway and waits until all proxies have it; returns the duration.
    async fn measure_convergence(&self, gateway: &str, figure: Duration) -> Result<Duration> {
        let most = within(figure);
        let cli = self.plane.cli()?;
        let arguments = [
            "gateway", "create", gateway, "--server", "main", "--prefix", "single",
        ];
        let start = now();
        eventually(&format!("{gateway} is written"), most, || async {
            let output = cli.output(&arguments).await?;
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() && !words.contains("exist") {
                bail!("{words}");
            }
            Ok(())
        })
        .await?;
        self.check_served(gateway, most.saturating_sub(start.elapsed()))
            .await?;
        Ok(start.elapsed())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_write_reaches_three_proxies() {
    let fleet = EtcdFleet::start("converges", 1).await.unwrap();
    for number in 0..5 {
        let took = fleet
            .measure_convergence(&format!("gateway-{number}"), CONVERGENCE_TIMEOUT)
            .await
            .unwrap();
        println!("write {number} was on three proxies after {took:?}");
    }
    let proxies = fleet.plane.cli().unwrap().json(&["proxies"]).await.unwrap();
    let text = proxies.to_string();
    for number in 1..=3 {
        assert!(text.contains(&format!("proxy-{number}")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_stops_working_on_every_proxy() {
    let fleet = EtcdFleet::start("revoked", 1).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    let token = cli.token("short-lived", &[]).await.unwrap();
    for proxy in &fleet.proxies {
        let agent = Agent::modern(&proxy.url("main"), &token);
        eventually("the token works", HANG_GUARD, || {
            agent.echo("echo", "hello")
        })
        .await
        .unwrap();
    }
    cli.run(&["token", "revoke", "short-lived"]).await.unwrap();
    for proxy in &fleet.proxies {
        let agent = Agent::modern(&proxy.url("main"), &token);
        // Refused at all: a revocation that is lost, or waits for the token to expire, is found. The two seconds: `make drill`.
        let most = within(Duration::from_secs(2));
        eventually("the token is refused", most, || async {
            let reply = agent.request("tools/list", json!({})).await?;
            anyhow::ensure!(reply.status.as_u16() == 401, "still {}", reply.status);
            Ok(())
        })
        .await
        .unwrap();
    }
    fleet.check_served("main", HANG_GUARD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_keep_serving_without_a_control_plane() {
    let mut fleet = EtcdFleet::start("orphaned", 1).await.unwrap();
    let legacy = Agent::legacy(&fleet.proxies[0].url("main"), &fleet.token)
        .await
        .unwrap();
    legacy.echo("echo", "before").await.unwrap();
    fleet.plane.kill().unwrap();
    let agents: Vec<Agent> = fleet
        .proxies
        .iter()
        .map(|p| Agent::modern(&p.url("main"), &fleet.token))
        .collect();
    let asked = throughout(
        "a call without a control plane",
        Duration::from_secs(5),
        || async {
            for agent in &agents {
                agent.echo("echo", "on my own").await?;
            }
            Ok(())
        },
    )
    .await
    .unwrap();
    println!("{asked} rounds over three proxies without a control plane");
    fleet.proxies[1].restart().await.unwrap();
    fleet.check_served("main", HANG_GUARD).await.unwrap();
    let restarted = Agent::legacy(&fleet.proxies[1].url("main"), &fleet.token)
        .await
        .unwrap();
    restarted
        .echo("echo", "a session on the restarted one")
        .await
        .unwrap();
    legacy
        .at_url(&fleet.proxies[1].url("main"))
        .echo("echo", "a session that moved")
        .await
        .unwrap();
    fleet.plane.restart().await.unwrap();
    fleet
        .measure_convergence("afterwards", FAILOVER_TIMEOUT)
        .await
        .unwrap();
    fleet.server.process().ensure_running().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_store_object_is_isolated() {
    let mut fleet = EtcdFleet::start("poison", 1).await.unwrap();
    fleet
        .measure_convergence("victim", CONVERGENCE_TIMEOUT)
        .await
        .unwrap();
    let keys = fleet.etcd.list("/").await.unwrap();
    let victim = keys
        .iter()
        .find(|(key, _)| key.contains("/gateway") && key.ends_with("victim"));
    let (victim, good) = victim
        .unwrap_or_else(|| panic!("no victim among {keys:?}"))
        .clone();
    let sibling = victim.replace("victim", "poison");
    let mut half = good.clone();
    half.truncate(good.len() / 2);
    let poisons: Vec<(String, Vec<u8>)> = vec![
        (sibling.clone(), b"\xff\xfe not anything \x00\x01".to_vec()),
        (format!("{sibling}-empty"), Vec::new()),
        (format!("{sibling}-long"), vec![0xff; 200_000]),
        (format!("{sibling}-half"), half),
        (format!("{sibling}-other"), good.clone()),
        (victim.replace("/gateway", "/no-such-kind"), good.clone()),
        (format!("{sibling}/deeper/still"), good.clone()),
        (victim.replace("victim", "Not A Slug!"), good),
        (victim, b"\x08\x96\x01 overwritten".to_vec()),
    ];
    let agents: Vec<Agent> = fleet
        .proxies
        .iter()
        .map(|p| Agent::modern(&p.url("main"), &fleet.token))
        .collect();
    for (number, (key, value)) in poisons.iter().enumerate() {
        fleet.etcd.put(key, value).await.unwrap();
        for agent in &agents {
            agent
                .echo("echo", "untouched")
                .await
                .unwrap_or_else(|e| panic!("after {key}: {e:#}"));
        }
        let gateway = format!("after-poison-{number}");
        fleet
            .measure_convergence(&gateway, CONVERGENCE_TIMEOUT)
            .await
            .unwrap_or_else(|e| panic!("after {key}: {e:#}"));
    }
    fleet.plane.process().ensure_running().unwrap();
    fleet.plane.kill().unwrap();
    fleet.plane.restart().await.unwrap();
    fleet
        .measure_convergence("after-a-restart-on-poison", FAILOVER_TIMEOUT)
        .await
        .unwrap();
    for proxy in &mut fleet.proxies {
        proxy.process().ensure_running().unwrap();
    }
}

/// The record is damaged more often than the control plane looks back in the history, so that no earlier form of it is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_record_cannot_be_read_answers_503_until_it_is_mended() {
    let mut fleet = EtcdFleet::start("unreadable", 1).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    let create = |id| {
        [
            "gateway", "create", id, "--server", "main", "--prefix", "single",
        ]
    };
    cli.run(&create("other")).await.unwrap();
    let keys = fleet.etcd.list("/").await.unwrap();
    let mut keys = keys.into_iter().map(|(key, _)| key);
    let damaged = keys.find(|key| key.ends_with("/gateway/main")).unwrap();
    fleet.plane.kill().unwrap();
    for _ in 0..DAMAGED_FORMS {
        fleet.etcd.put(&damaged, b"\xff damaged").await.unwrap();
    }
    fleet.plane.restart().await.unwrap();
    for proxy in &fleet.proxies {
        let agent = Agent::modern(&proxy.url("main"), &fleet.token);
        eventually("the gateway is out of order", HANG_GUARD, || async {
            let reply = agent.request("tools/list", json!({})).await?;
            let (status, text) = (reply.status, reply.text());
            anyhow::ensure!(status.as_u16() == 503, "{status}: {text}");
            anyhow::ensure!(text.contains("cannot be read"), "{text}");
            anyhow::ensure!(!text.contains(&damaged), "{text}");
            Ok(())
        })
        .await
        .unwrap();
    }
    fleet.check_served("other", HANG_GUARD).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    cli.run(&["delete", "gateway", "main"]).await.unwrap();
    cli.run(&create("main")).await.unwrap();
    fleet.check_served("main", HANG_GUARD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_etcd_member_is_abandoned() {
    let fleet = EtcdFleet::start("frozen", 3).await.unwrap();
    for member in 0..3 {
        fleet.etcd.freeze(member).unwrap();
        let outcome = fleet
            .measure_convergence(&format!("without-{member}"), FAILOVER_TIMEOUT)
            .await;
        fleet.etcd.thaw(member).unwrap();
        println!(
            "without member {member}: a write was everywhere after {:?}",
            outcome.unwrap()
        );
        fleet
            .measure_convergence(&format!("again-with-{member}"), FAILOVER_TIMEOUT)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_etcd_a_lost_key_file_is_not_recreated_and_sealed_values_stay_intact() {
    let mut fleet = EtcdFleet::start("lost-key", 1).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    cli.run(&[
        "server",
        "add",
        "sealed",
        "--url",
        "http://127.0.0.1:1/mcp",
        "--header",
        "Authorization=Bearer kept",
    ])
    .await
    .unwrap();
    fleet.plane.kill().unwrap();
    let key = fleet.plane.data().join("key");
    let kept = key.with_extension("kept");
    std::fs::rename(&key, &kept).unwrap();
    // No proxy is connected now: except for expiring leases, changes come from the rejected start.
    let lasting = async || {
        let mut all = fleet.etcd.list("").await.unwrap();
        all.retain(|(key, _)| !key.contains("/leases/"));
        all
    };
    let before = lasting().await;
    for other in [None, Some("kaaaa 11")] {
        if let Some(line) = other {
            std::fs::write(&key, line.to_owned() + &"11".repeat(31) + "\n").unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let refused = fleet.plane.restart().await.unwrap_err().to_string();
        let told = if other.is_none() {
            "is missing"
        } else {
            "does not belong to this store"
        };
        for words in [
            told,
            &*key.display().to_string(),
            "--key-file",
            "--etcd-prefix",
        ] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
        assert_eq!(key.exists(), other.is_some(), "a fresh key was made");
        assert!(lasting().await == before, "the store was written to");
    }
    std::fs::rename(&kept, &key).unwrap();
    fleet.plane.restart().await.unwrap();
    fleet
        .measure_convergence("afterwards", FAILOVER_TIMEOUT)
        .await
        .unwrap();
}
