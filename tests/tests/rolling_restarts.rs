//! Proxies that end behind a load balancer while clients call: restarted one after the other, as an update does, or
//! killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now};
use toolgate_tests::proxy_fleet::{LoadBalancer, ProxyFleet};

/// Clients of each era that call one tool after the other.
const CLIENTS: usize = 4;
/// Calls of each era that run while a proxy stops.
const LONG_CALLS: usize = 25;
/// Time in which sessions go on after their proxy was killed; asserted by `make drill`.
const RECOVERY: Duration = Duration::from_secs(3);
/// Time that a proxy goes on accepting after it has become not ready: two checks of the balancer, and one more second.
const LINGER: &str = "2s";

/// Clients that call until they are told to stop.
struct Callers {
    calls: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Result<()>>,
}

impl Callers {
    async fn start(url: &str, token: &str) -> Result<Self> {
        let mut callers = Self {
            calls: Arc::default(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
        };
        for number in 0..CLIENTS {
            callers.spawn(format!("modern client {number}"), Agent::modern(url, token));
            let legacy = Agent::legacy(url, token).await?;
            callers.spawn(format!("legacy client {number}"), legacy);
        }
        Ok(callers)
    }

    fn spawn(&mut self, name: String, agent: Agent) {
        let (calls, stop) = (Arc::clone(&self.calls), Arc::clone(&self.stop));
        self.tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = calls.fetch_add(1, Ordering::Relaxed);
                let called = agent.echo("echo", &number.to_string()).await;
                called.with_context(|| format!("{name}, call {number}"))?;
            }
            Ok(())
        });
    }

    /// Waits until this many more calls were made.
    async fn go_on(&self, more: usize) -> Result<()> {
        let goal = self.calls.load(Ordering::Relaxed) + more;
        eventually("clients go on", HANG_GUARD, || async {
            let calls = self.calls.load(Ordering::Relaxed);
            anyhow::ensure!(calls >= goal, "{calls} of {goal} calls");
            Ok(())
        })
        .await
    }

    /// Stops the clients. Returns the number of calls, and the first error of each client.
    async fn finish(mut self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed.push(format!("{error:#}")),
                Err(error) => failed.push(error.to_string()),
            }
        }
        (self.calls.load(Ordering::Relaxed), failed)
    }
}

/// Starts calls that last until after the proxies that serve them are asked to stop.
async fn start_long_calls(fleet: &ProxyFleet, url: &str) -> Result<JoinSet<Result<Value>>> {
    let before = slept(fleet).await?;
    let mut calls = JoinSet::new();
    let legacy = Agent::legacy(url, &fleet.token).await?;
    for agent in [Agent::modern(url, &fleet.token), legacy].map(Arc::new) {
        for _ in 0..LONG_CALLS {
            let agent = Arc::clone(&agent);
            calls.spawn(async move { agent.call("sleep", json!({"ms": 4_000})).await });
        }
    }
    eventually("the long calls have begun", HANG_GUARD, || async {
        let begun = slept(fleet).await? - before;
        anyhow::ensure!(begun == 2 * LONG_CALLS, "{begun} have begun");
        Ok(())
    })
    .await?;
    Ok(calls)
}

/// Calls of `sleep` that have reached the server.
async fn slept(fleet: &ProxyFleet) -> Result<usize> {
    let counts = fleet.server.counts().await?;
    Ok(usize::try_from(
        counts.tools.get("sleep").copied().unwrap_or_default(),
    )?)
}

/// Waits until the balancer sends requests to the proxy with this number again.
async fn used_again(balancer: &LoadBalancer, proxy: usize) -> Result<()> {
    let before = balancer.requests(proxy);
    eventually("the balancer uses the proxy again", HANG_GUARD, || async {
        anyhow::ensure!(balancer.requests(proxy) > before, "no request");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_the_proxies_are_restarted_one_after_the_other() {
    let flags = ["--linger", LINGER];
    let mut fleet = ProxyFleet::start_with("rolling", &[], &flags)
        .await
        .unwrap();
    let balancer = fleet.start_load_balancer().await.unwrap();
    let url = format!("http://{}/v1/mcp/main", balancer.address());
    let callers = Callers::start(&url, &fleet.token).await.unwrap();
    callers.go_on(50).await.unwrap();
    let mut failed = Vec::new();
    for at in 0..fleet.proxies.len() {
        let mut long = start_long_calls(&fleet, &url).await.unwrap();
        fleet.proxies[at].update().await.unwrap();
        while let Some(ended) = long.join_next().await {
            let ended = ended.unwrap();
            failed.extend(ended.err().map(|error| format!("long call: {error:#}")));
        }
        used_again(&balancer, at + 1).await.unwrap();
        callers.go_on(50).await.unwrap();
    }
    let (calls, errors) = callers.finish().await;
    failed.extend(errors);
    println!("{calls} calls and {} long ones", 6 * LONG_CALLS);
    assert!(failed.is_empty(), "of {calls} calls: {failed:#?}");
    let ran = slept(&fleet).await.unwrap();
    assert_eq!(ran, 6 * LONG_CALLS, "no call runs twice");
}

/// Lets each session make one call, twenty at a time. Returns the errors.
async fn call_of_each(sessions: &[Agent]) -> Vec<String> {
    let calls = sessions.iter().enumerate();
    let calls = calls.map(|(number, agent)| async move {
        let called = agent.echo("echo", &format!("session {number}")).await;
        called
            .err()
            .map(|error| format!("session {number}: {error:#}"))
    });
    let errors = stream::iter(calls).buffer_unordered(20);
    errors.filter_map(std::future::ready).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_when_one_of_three_proxies_is_killed() {
    let count = if is_drill() { 1_000 } else { 200 };
    let mut fleet = ProxyFleet::start("killed", &[]).await.unwrap();
    let balancer = fleet.start_load_balancer_without_reuse().await.unwrap();
    let url = format!("http://{}/v1/mcp/main", balancer.address());
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(Agent::legacy(&url, &fleet.token).await.unwrap());
    }
    assert_eq!(call_of_each(&sessions).await, Vec::<String>::new());
    let before = fleet.server.counts().await.unwrap().tools["echo"];
    let start = now();
    fleet.proxies[1].process().kill().unwrap();
    let failed = call_of_each(&sessions).await;
    let took = start.elapsed();
    println!(
        "{} of {count} calls failed, all ended after {took:?}",
        failed.len()
    );
    // No call was running, so that none is lost with the proxy.
    assert!(failed.len() * 1_000 <= count, "{failed:#?}");
    let ran = fleet.server.counts().await.unwrap().tools["echo"] - before;
    assert_eq!(usize::try_from(ran).unwrap() + failed.len(), count);
    assert!(!is_drill() || took < RECOVERY, "{took:?}");
}

/// Call of `mark` with a key of its own.
#[derive(Debug)]
struct MarkedCall {
    key: String,
    begun: Instant,
    error: Option<String>,
}

/// Calls `mark` one time after the other until told to stop.
async fn mark_calls(agent: Agent, name: String, stop: Arc<AtomicBool>) -> Vec<MarkedCall> {
    let mut calls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{name}-{}", calls.len());
        let begun = now();
        let called = agent.call("mark", json!({"key": key})).await;
        let error = called.err().map(|error| format!("{error:#}"));
        calls.push(MarkedCall { key, begun, error });
    }
    calls
}

/// Calls that last a while, of both eras, when a proxy is killed: those at the proxy fail.
async fn long_calls_at_kill(fleet: &mut ProxyFleet, url: &str) -> Result<(usize, Instant)> {
    let mut long = start_long_calls(fleet, url).await?;
    fleet.proxies[1].process().kill()?;
    let killed = now();
    let mut failed = 0;
    while let Some(ended) = long.join_next().await {
        failed += usize::from(ended?.is_err());
    }
    Ok((failed, killed))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_calls_in_flight_fail_when_a_proxy_is_killed_under_load_and_none_runs_twice() {
    let mut fleet = ProxyFleet::start("killed-busy", &[]).await.unwrap();
    let balancer = fleet.start_load_balancer_without_reuse().await.unwrap();
    let url = format!("http://{}/v1/mcp/main", balancer.address());
    let (stop, mut clients) = (Arc::<AtomicBool>::default(), JoinSet::new());
    for number in 0..CLIENTS {
        let modern = Agent::modern(&url, &fleet.token);
        let legacy = Agent::legacy(&url, &fleet.token).await.unwrap();
        for (era, agent) in [("modern", modern), ("legacy", legacy)] {
            clients.spawn(mark_calls(
                agent,
                format!("{era}-{number}"),
                Arc::clone(&stop),
            ));
        }
    }
    let (lost, killed) = long_calls_at_kill(&mut fleet, &url).await.unwrap();
    // Some of the long calls were at the killed proxy, and most were not.
    assert!(
        (1..2 * LONG_CALLS).contains(&lost),
        "{lost} of {} long calls failed",
        2 * LONG_CALLS
    );
    stop.store(true, Ordering::Relaxed);
    let calls: Vec<MarkedCall> = clients.join_all().await.into_iter().flatten().collect();
    let (failed, succeeded): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.error.is_some());
    println!(
        "{} calls, {} failed; {lost} of {} long ones",
        calls.len(),
        failed.len(),
        2 * LONG_CALLS
    );
    assert!(
        failed.len() <= 2 * CLIENTS,
        "each client has one call in flight: {failed:#?}"
    );
    let later: Vec<_> = failed.iter().filter(|call| call.begun > killed).collect();
    assert!(
        later.is_empty(),
        "begun after the proxy was killed: {later:#?}"
    );
    assert!(
        succeeded.iter().any(|call| call.begun > killed),
        "clients go on"
    );
    let marks = fleet.server.counts().await.unwrap().marks;
    let twice: Vec<_> = marks.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "ran twice: {twice:?}");
    let missing = succeeded
        .iter()
        .filter(|call| !marks.contains_key(&call.key));
    assert_eq!(missing.count(), 0, "succeeded without an execution");
}
