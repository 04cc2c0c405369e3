//! More load than can be served, a principal beyond its quota, and little memory: requests beyond the capacity are refused at
//! once, and the served requests stay as fast.
#![expect(clippy::print_stdout, reason = "figures of each load")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use toolgate_tests::agent::{Agent, messages};
use toolgate_tests::clock::{eventually, is_drill, now, within};
use toolgate_tests::http_client::HttpReply;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

/// Concurrent requests that are served: with [`SERVICE`], this is the capacity.
const SEATS: usize = 16;
/// Time of one call at the server, and the pause of a client that was refused.
const SERVICE: Duration = Duration::from_millis(100);
/// Principals, so that no share of one principal limits the load.
const PRINCIPALS: usize = 8;
/// Least part of the peak that is served at a higher load; the first figure is asserted by `make drill`.
const GOODPUT: (f64, f64) = (0.8, 0.4);
/// Growth of the 99th percentile of calls that are served; asserted by `make drill`.
const MAX_SLOWDOWN: f64 = 2.0;
/// Growth of resident memory in bytes.
const MAX_GROWTH: u64 = 64 << 20;

/// Requests a second of one token, and its burst.
const QUOTA: u64 = 40;
/// Growth of the times of calls of another principal; asserted by `make drill`.
const MAX_INTERFERENCE: f64 = 1.1;

/// Memory of a machine or container in bytes, and the settings for it in MiB: bodies and answers.
const MACHINE: u64 = 512 << 20;
const BUDGETS: [&str; 4] = ["--body-memory", "64", "--answer-memory", "96"];
/// Clients with large requests and answers, and the size of these in bytes.
const LARGE_CLIENTS: usize = 48;
const LARGE: usize = 3 << 20;
/// Sessions with an open stream that are there meanwhile.
const SESSIONS: usize = 200;
/// Time after a load in which calls are served as before; asserted by `make drill`.
const RECOVERY: Duration = Duration::from_secs(10);

fn load_time() -> Duration {
    Duration::from_secs(if is_drill() { 20 } else { 3 })
}

/// Outcome of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoadOutcome {
    Served,
    Refused,
}

/// Requests of a load.
#[derive(Debug, Default)]
struct LoadResult {
    /// Times of the served requests, sorted.
    served: Vec<Duration>,
    refused: usize,
}

impl LoadResult {
    fn percentile(&self, percent: usize) -> Duration {
        let at = self.served.len() * percent / 100;
        self.served
            .get(at)
            .or(self.served.last())
            .copied()
            .unwrap_or_default()
    }

    /// Ratio of the number of served requests to their number under another load of the same duration.
    fn ratio_to(&self, other: &Self) -> f64 {
        let count = |load: &Self| u32::try_from(load.served.len()).map_or(f64::INFINITY, f64::from);
        count(self) / count(other)
    }
}

/// Calls a tool. A refusal has to say when to try again.
async fn call(agent: &Agent, tool: &str, arguments: &Value) -> Result<LoadOutcome> {
    let frame = agent.frame("tools/call", json!({"name": tool, "arguments": arguments}));
    let reply = agent.post(&frame, &[]).await?;
    if matches!(reply.status.as_u16(), 429 | 503) {
        let after = reply.header("retry-after").context("no Retry-After")?;
        ensure!(after.parse::<u32>()? > 0, "Retry-After: {after}");
        ensure!(
            messages(&reply)?[0]["error"]["code"].is_i64(),
            "{}",
            reply.text()
        );
        return Ok(LoadOutcome::Refused);
    }
    let answer = messages(&reply)?.pop().context("no answer")?;
    if answer["result"]["_meta"]["toolgate/failure"] == "upstream_busy" {
        ensure!(answer.to_string().contains("retry in"), "{answer}");
        return Ok(LoadOutcome::Refused);
    }
    ensure!(
        answer["result"]["isError"] != true && answer["error"].is_null(),
        "{answer}"
    );
    Ok(LoadOutcome::Served)
}

/// Lets clients call for a while, each again after its answer, and after a pause if it was refused.
async fn load(url: &str, tokens: &[String], clients: usize) -> Result<LoadResult> {
    let arguments = Arc::new(json!({"ms": SERVICE.as_millis()}));
    let end = now() + load_time();
    let mut running = JoinSet::new();
    for token in tokens.iter().cycle().take(clients) {
        let (agent, arguments) = (Agent::modern(url, token), Arc::clone(&arguments));
        running.spawn(async move {
            let mut own = LoadResult::default();
            while now() < end {
                let start = now();
                match call(&agent, "sleep", &arguments).await? {
                    LoadOutcome::Served => own.served.push(start.elapsed()),
                    LoadOutcome::Refused => {
                        own.refused += 1;
                        sleep(SERVICE).await;
                    }
                }
            }
            anyhow::Ok(own)
        });
    }
    let mut all = LoadResult::default();
    while let Some(ended) = running.join_next().await {
        let own = ended??;
        all.served.extend(own.served);
        all.refused += own.refused;
    }
    all.served.sort();
    Ok(all)
}

/// Serves with this limit, and compares loads of twice and five times the capacity with a load that fits.
async fn check_overload(name: &str, limit: &str) -> Result<()> {
    let sandbox = Sandbox::new(name)?;
    let server = UpstreamServer::fixture(&sandbox, "main", &["--modern-only"]).await?;
    let mut up = ToolgateUp::start(&sandbox, &[limit, &SEATS.to_string()]).await?;
    let mut tokens = vec![up.expose("main", server.url(), "single").await?];
    for number in 1..PRINCIPALS {
        tokens.push(
            up.cli()?
                .token(&format!("t{number}"), &["--gateway", "main"])
                .await?,
        );
    }
    let url = up.url("main");
    let below = load(&url, &tokens, SEATS * 4 / 5).await?;
    let peak = load(&url, &tokens, SEATS).await?;
    let before = up.process().resident()?;
    for times in [2, 5] {
        let over = load(&url, &tokens, times * SEATS).await?;
        let (goodput, slow) = (over.ratio_to(&peak), over.percentile(99));
        println!(
            "{limit}, {times} times the capacity: {goodput:.2} of the peak of {}, {} refused, p99 {slow:?} (below: {:?})",
            peak.served.len(),
            over.refused,
            below.percentile(99)
        );
        ensure!(over.refused > 0, "nothing was refused");
        let least = if is_drill() { GOODPUT.0 } else { GOODPUT.1 };
        ensure!(
            goodput >= least,
            "goodput {goodput:.2} at {times} times the capacity"
        );
        let slowdown = slow.as_secs_f64() / below.percentile(99).as_secs_f64();
        ensure!(!is_drill() || slowdown <= MAX_SLOWDOWN, "p99 {slowdown:.2}");
    }
    let grown = up.process().resident()?.saturating_sub(before);
    ensure!(grown <= MAX_GROWTH, "{grown} bytes more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn five_times_the_load_that_a_server_takes_leaves_its_goodput() {
    check_overload("overload-server", "--max-calls-per-server")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn five_times_the_load_that_a_proxy_takes_leaves_its_goodput() {
    check_overload("overload-proxy", "--max-requests")
        .await
        .unwrap();
}

/// Makes requests at this rate, without waiting for answers.
async fn send_at_rate(url: &str, token: &str, per_second: u64) -> Result<LoadResult> {
    let agent = Arc::new(Agent::modern(url, token));
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(per_second)?);
    let (mut running, end) = (JoinSet::new(), now() + load_time());
    while now() < end {
        ticks.tick().await;
        let agent = Arc::clone(&agent);
        running.spawn(async move {
            let start = now();
            let outcome = call(&agent, "echo", &json!({"message": "hello"})).await?;
            anyhow::Ok((outcome, start.elapsed()))
        });
    }
    let mut all = LoadResult::default();
    while let Some(ended) = running.join_next().await {
        match ended?? {
            (LoadOutcome::Served, took) => all.served.push(took),
            (LoadOutcome::Refused, _) => all.refused += 1,
        }
    }
    all.served.sort();
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_at_ten_times_its_quota_costs_another_nothing() {
    let sandbox = Sandbox::new("quota").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "main", &["--modern-only"])
        .await
        .unwrap();
    let quota = QUOTA.to_string();
    let flags = ["--rate-per-token", &quota, "--burst-per-token", &quota];
    let up = ToolgateUp::start(&sandbox, &flags).await.unwrap();
    let noisy = up.expose("main", server.url(), "single").await.unwrap();
    let quiet = up
        .cli()
        .unwrap()
        .token("quiet", &["--gateway", "main"])
        .await
        .unwrap();
    let url = up.url("main");
    let alone = send_at_rate(&url, &quiet, QUOTA / 2).await.unwrap();
    let start = now();
    let (beside, flood) = tokio::join!(
        send_at_rate(&url, &quiet, QUOTA / 2),
        send_at_rate(&url, &noisy, 10 * QUOTA),
    );
    let (beside, flood) = (beside.unwrap(), flood.unwrap());
    let seconds = start.elapsed().as_secs() + 1;
    assert_eq!(
        (alone.refused, beside.refused),
        (0, 0),
        "refusals of the other principal"
    );
    // The quota of each second, the burst, and what the gateway listed before.
    let most = usize::try_from(QUOTA * (seconds + 1)).unwrap();
    assert!(
        flood.served.len() <= most,
        "{} of {most}",
        flood.served.len()
    );
    assert!(flood.refused > 0, "no flood");
    for percent in [50, 99] {
        let (before, after) = (alone.percentile(percent), beside.percentile(percent));
        let ratio = after.as_secs_f64() / before.as_secs_f64();
        println!(
            "p{percent} of the other principal: {before:?} alone, {after:?} beside {} refusals ({ratio:.2})",
            flood.refused
        );
        assert!(
            !is_drill() || ratio <= MAX_INTERFERENCE,
            "p{percent}: {ratio:.2}"
        );
    }
}

/// Lets a client make large requests and get large answers until the end. Returns the number of served requests.
async fn exchange_large(agent: Agent, end: Instant) -> Result<usize> {
    let mut served = 0;
    let echo = json!({"message": "x".repeat(LARGE)});
    while now() < end {
        for (tool, arguments) in [("echo", &echo), ("big", &json!({"bytes": LARGE}))] {
            let frame = agent.frame("tools/call", json!({"name": tool, "arguments": arguments}));
            // Beyond the budgets, a request is refused, or its connection is closed while the body is sent.
            let reply = agent.post(&frame, &[]).await;
            let is_served = |reply: HttpReply| reply.body.len() > LARGE;
            served += usize::from(reply.is_ok_and(is_served));
        }
    }
    Ok(served)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stays_within_the_memory_of_its_machine_under_load() {
    let sandbox = Sandbox::new("small-machine").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "main", &[])
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &BUDGETS).await.unwrap();
    let mut tokens = vec![up.expose("main", server.url(), "single").await.unwrap()];
    for number in 1..PRINCIPALS {
        let (cli, name) = (up.cli().unwrap(), format!("t{number}"));
        tokens.push(cli.token(&name, &["--gateway", "main"]).await.unwrap());
    }
    let url = up.url("main");
    let first = Agent::legacy(&url, &tokens[0]).await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let session = first.open_another().await.unwrap();
        let stream = session.listen().await.unwrap();
        sessions.push((session, stream));
    }
    up.process().reset_peak().unwrap();
    let end = now()
        + if is_drill() {
            Duration::from_secs(300)
        } else {
            load_time()
        };
    let mut clients = JoinSet::new();
    for token in tokens.iter().cycle().take(LARGE_CLIENTS) {
        clients.spawn(exchange_large(Agent::modern(&url, token), end));
    }
    let mut served = 0;
    while let Some(ended) = clients.join_next().await {
        served += ended.unwrap().unwrap();
    }
    up.process().ensure_running().unwrap();
    let peak = up.process().peak().unwrap();
    println!("{served} exchanges of {LARGE} bytes, at most {peak} bytes resident");
    assert!(served > 0, "nothing was served");
    assert!(peak <= MACHINE, "{peak} bytes");
    eventually("calls are served as before", within(RECOVERY), || async {
        first.echo("echo", "hello").await?;
        sessions[0].0.echo("echo", "hello").await
    })
    .await
    .unwrap();
    drop(sessions);
    up.wait_until_idle().await.unwrap();
}
