//! Load over a fleet: changes reach every proxy, and calls go on without a control plane.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use toolgate_tests::{
    admin_client::AdminClient,
    agent::Agent,
    clock::{HANG_GUARD, eventually, is_drill, now},
    proxy_fleet::ProxyFleet,
};

/// Changes per second.
const CHANGE_RATE: u32 = 10;
/// Limit of the time from the answer to a write until 99 of 100 proxies serve it, and until all do.
const SERVED_WITHIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Requests per second without a control plane.
const REQUEST_RATE: usize = 200;
/// Limit from the start of a process to its first answer.
const COLD_START_TIMEOUT: Duration = Duration::from_secs(5);

async fn fill(fleet: &ProxyFleet, gateways: usize) -> Result<()> {
    let mut documents = String::new();
    for number in 0..gateways {
        let _ = write!(
            documents,
            "---\napiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: filler-{number}}}\n\
             spec: {{bindings: [{{server: main, tools: [echo]}}]}}\n"
        );
    }
    let file = fleet.folder().join("gateways.yaml");
    std::fs::write(&file, documents)?;
    let file = file.display().to_string();
    let mut command = fleet.plane.cli()?.command(&["apply", "-f", &file])?;
    let output = tokio::time::timeout(HANG_GUARD * 10, command.output()).await??;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// Creates a gateway. Returns the time from the answer until each proxy serves it.
async fn change(admin: AdminClient, id: String, agents: Vec<Agent>) -> Result<Vec<Duration>> {
    admin.create_gateway(&id, "main").await?;
    let start = now();
    let serving = agents.iter().map(|agent| async {
        while agent.tools().await.is_err() {
            ensure!(start.elapsed() < HANG_GUARD, "{id} is not served");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(start.elapsed())
    });
    try_join_all(serving).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_steady_rate_reaches_every_proxy() {
    let (proxies, gateways, changes) = if is_drill() {
        (10, 10_000, 300)
    } else {
        (3, 100, 20)
    };
    let fleet = ProxyFleet::start_sized("propagation", proxies)
        .await
        .unwrap();
    fill(&fleet, gateways).await.unwrap();
    let admin = fleet.plane.admin_client().unwrap();
    let mut ticks = interval(Duration::from_secs(1) / CHANGE_RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pending = JoinSet::new();
    for number in 0..changes {
        ticks.tick().await;
        let id = format!("change-{number}");
        let agents = fleet.proxies.iter();
        let agents = agents.map(|proxy| Agent::modern(&proxy.url(&id), &fleet.token));
        pending.spawn(change(admin.clone(), id.clone(), agents.collect()));
    }
    let mut delays = Vec::new();
    for served in pending.join_all().await {
        delays.extend(served.unwrap());
    }
    assert_eq!(delays.len(), changes * proxies, "every change, everywhere");
    delays.sort();
    let p99 = delays[delays.len() * 99 / 100];
    let most = delays[delays.len() - 1];
    println!("{changes} changes on {proxies} proxies: p99 {p99:?}, most {most:?}");
    if is_drill() {
        assert!(
            p99 <= SERVED_WITHIN.0 && most <= SERVED_WITHIN.1,
            "{p99:?} {most:?}"
        );
    }
}

/// Requests of a steady rate to the proxies in turn, except a proxy that restarts.
struct RequestLoad {
    agents: Vec<Agent>,
    /// Index of the proxy that is sent nothing; beyond the last one for none.
    spared: AtomicUsize,
    /// Calls of each proxy that wait for their answer.
    in_flight: Vec<AtomicUsize>,
    has_ended: AtomicBool,
}

impl RequestLoad {
    /// Sends requests until the load has ended. Returns their number, all of which succeeded.
    async fn send(&self) -> Result<usize> {
        let every = Duration::from_secs(1) * u32::try_from(self.agents.len())?;
        let every = every / u32::try_from(REQUEST_RATE)?;
        let sending = self
            .agents
            .iter()
            .enumerate()
            .map(|(at, agent)| async move {
                let mut ticks = interval(every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut sent = 0_usize;
                while !self.has_ended.load(Ordering::SeqCst) {
                    ticks.tick().await;
                    // Counted before the look, so that none begins after the wait for those in flight.
                    self.in_flight[at].fetch_add(1, Ordering::SeqCst);
                    if self.spared.load(Ordering::SeqCst) == at {
                        self.in_flight[at].fetch_sub(1, Ordering::SeqCst);
                        continue;
                    }
                    let answered = agent.echo("echo", "without a control plane").await;
                    self.in_flight[at].fetch_sub(1, Ordering::SeqCst);
                    answered.with_context(|| format!("request {sent} to proxy {at}"))?;
                    sent += 1;
                }
                anyhow::Ok(sent)
            });
        Ok(try_join_all(sending).await?.into_iter().sum())
    }

    /// Sends nothing more to this proxy, and waits until it has answered every call.
    async fn spare(&self, proxy: usize) -> Result<()> {
        self.spared.store(proxy, Ordering::SeqCst);
        eventually("no call is in flight", HANG_GUARD, || async {
            let waiting = self.in_flight[proxy].load(Ordering::SeqCst);
            ensure!(waiting == 0, "{waiting}");
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_a_steady_load_fails_while_the_control_plane_is_away() {
    let (before, after) = if is_drill() {
        (Duration::from_secs(300), Duration::from_secs(3_300))
    } else {
        (Duration::from_secs(2), Duration::from_secs(3))
    };
    let mut fleet = ProxyFleet::start("away", &[]).await.unwrap();
    let agents = fleet.proxies.iter();
    let agents = agents.map(|proxy| Agent::modern(&proxy.url("main"), &fleet.token));
    let load = RequestLoad {
        agents: agents.collect(),
        spared: AtomicUsize::new(usize::MAX),
        in_flight: fleet.proxies.iter().map(|_| AtomicUsize::new(0)).collect(),
        has_ended: AtomicBool::new(false),
    };
    fleet.plane.kill().unwrap();
    let restarting = async {
        tokio::time::sleep(before).await;
        // A balancer sends nothing to a proxy that is not ready.
        load.spare(1).await?;
        let start = now();
        fleet.proxies[1].restart().await?;
        let agent = Agent::modern(&fleet.proxies[1].url("main"), &fleet.token);
        agent.echo("echo", "first").await?;
        let took = start.elapsed();
        load.spared.store(usize::MAX, Ordering::SeqCst);
        tokio::time::sleep(after).await;
        anyhow::Ok(took)
    };
    let restarting = async {
        let restarted = restarting.await;
        load.has_ended.store(true, Ordering::SeqCst);
        restarted
    };
    let (sent, restarted) = tokio::join!(load.send(), restarting);
    let (sent, took) = (sent.unwrap(), restarted.unwrap());
    println!("{sent} calls without a control plane; a restarted proxy answered after {took:?}");
    assert!(sent > REQUEST_RATE, "{sent} calls");
    assert!(!is_drill() || took <= COLD_START_TIMEOUT, "{took:?}");
}
