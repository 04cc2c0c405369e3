//! Rate limits from a document to the refusal, on one machine and on a fleet behind a balancer.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;
use toolgate_tests::agent::{Agent, refusal};
use toolgate_tests::clock::{eventually, now};
use toolgate_tests::proxy_fleet::ProxyFleet;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, start_deployment, text};

const SOON: Duration = Duration::from_secs(30);

const LIMITED: &str = r#"apiVersion: toolgate/v1
kind: Organization
metadata: {name: default}
spec:
  rateLimits:
    - {per: RATE_LIMIT_KEY_ORGANIZATION, requests: 1000, interval: 1s}
---
apiVersion: toolgate/v1
kind: Gateway
metadata: {name: sums}
spec:
  rateLimits:
    - {per: RATE_LIMIT_KEY_PRINCIPAL, requests: 500, interval: 60s}
    - {per: RATE_LIMIT_KEY_TEAM, requests: 5000, interval: 3600s, burst: 50}
  bindings:
    - server: demo
      allTools: true
      rateLimits:
        - {per: RATE_LIMIT_KEY_TOOL, requests: 3, interval: 3600s, tools: [add]}
"#;

/// Writes a document and applies it; returns what the command printed.
async fn apply(cli: &CommandLine, sandbox: &Sandbox, document: &str) -> Result<String> {
    let file = sandbox.join("document.yaml");
    fs::write(&file, document)?;
    let file = file.display().to_string();
    Ok(text(&cli.run(&["apply", "-f", &file]).await?.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_document_apply_in_both_eras_and_survive_export_and_apply() {
    let (sandbox, up, cli) = start_deployment("limited").await.unwrap();
    apply(&cli, &sandbox, LIMITED).await.unwrap();
    let token = cli.token("adder", &[]).await.unwrap();
    let agent = Agent::modern(&up.url("sums"), &token);
    eventually("the gateway is served", SOON, || agent.tools())
        .await
        .unwrap();
    let legacy = Agent::legacy(&up.url("sums"), &token).await.unwrap();
    let numbers = json!({"name": "demo__add", "arguments": {"a": 2, "b": 3}});
    for _ in 0..3 {
        let reply = agent.request("tools/call", numbers.clone()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    for client in [&agent, &legacy] {
        let reply = client.request("tools/call", numbers.clone()).await.unwrap();
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1_000..=1_200).contains(&seconds), "{seconds}");
        let (status, _, words) = refusal(&reply).unwrap();
        assert_eq!(status, 429, "{words}");
        assert!(words.contains("the rate limit per tool"), "{words}");
        // Other tools go on.
        let echoed = client.call("demo__echo", json!({"text": "hello"})).await;
        assert_eq!(echoed.unwrap()["content"][0]["text"], "hello");
    }
    // The exported object equals the applied one.
    let exported = cli
        .run(&["get", "gateway", "sums", "-o", "yaml"])
        .await
        .unwrap();
    let exported = text(&exported.stdout);
    for part in [
        "RATE_LIMIT_KEY_PRINCIPAL",
        "RATE_LIMIT_KEY_TEAM",
        "RATE_LIMIT_KEY_TOOL",
        "burst: 50",
        "interval: 3600s",
    ] {
        assert!(exported.contains(part), "{part} is missing in {exported}");
    }
    let applied = apply(&cli, &sandbox, &exported).await.unwrap();
    assert!(applied.contains("unchanged"), "{applied}");
    let applied = apply(&cli, &sandbox, LIMITED).await.unwrap();
    assert_eq!(applied.matches("unchanged").count(), 2, "{applied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_makes_no_sense_is_rejected_with_its_field() {
    let (sandbox, _up, cli) = start_deployment("nonsense").await.unwrap();
    let gateway = "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {name: sums}\nspec:\n  rateLimits:\n    - ";
    for (limit, words) in [
        (
            "{per: RATE_LIMIT_KEY_TOOL, requests: 3, interval: 60s}",
            "spec.rateLimits[0].per",
        ),
        (
            "{per: RATE_LIMIT_KEY_GATEWAY, interval: 60s}",
            "spec.rateLimits[0].requests",
        ),
        (
            "{per: RATE_LIMIT_KEY_GATEWAY, requests: 3}",
            "spec.rateLimits[0].interval",
        ),
        (
            "{per: RATE_LIMIT_KEY_GATEWAY, requests: 3, interval: 60s, burst: 4}",
            "spec.rateLimits[0].burst",
        ),
        (
            "{per: RATE_LIMIT_KEY_GATEWAY, requests: 3, interval: 60s, tools: [add]}",
            "spec.rateLimits[0].tools",
        ),
        (
            "{per: caller, requests: 3, interval: 60s}",
            "RATE_LIMIT_KEY_PRINCIPAL",
        ),
    ] {
        let file = sandbox.join("nonsense.yaml");
        fs::write(&file, format!("{gateway}{limit}\n")).unwrap();
        let file = file.display().to_string();
        let (_, said) = cli.fails(&["apply", "-f", &file]).await.unwrap();
        assert!(said.contains(words), "{limit}: {said}");
    }
}

/// Creates a gateway with this limit per principal at the fleet, and waits until every proxy serves its share of it.
async fn limit_fleet(fleet: &mut ProxyFleet, sandbox: &Sandbox, limit: &str) -> Result<Vec<Agent>> {
    // Every proxy knows of the others before any of them counts requests.
    for proxy in &mut fleet.proxies {
        let process = proxy.process();
        eventually("a proxy knows its share", SOON, || {
            let log = process.stderr() + &process.stdout();
            let told = log.contains("proxies=3") || log.contains("\"proxies\":\"3\"");
            async move {
                ensure!(told, "{log}");
                Ok(())
            }
        })
        .await?;
    }
    let document = format!(
        "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: limited}}\nspec:\n  \
         prefix: PREFIX_MODE_SINGLE\n  bindings: [{{server: main, allTools: true}}]\n  \
         rateLimits: [{{per: RATE_LIMIT_KEY_PRINCIPAL, {limit}}}]\n"
    );
    apply(&fleet.plane.cli()?, sandbox, &document).await?;
    let mut agents = Vec::new();
    for proxy in &fleet.proxies {
        let agent = Agent::modern(&proxy.url("limited"), &fleet.token);
        eventually("the gateway is served", SOON, || agent.tools()).await?;
        agents.push(agent);
    }
    Ok(agents)
}

/// Outcomes of requests.
#[derive(Debug, Default)]
struct Outcomes {
    served: AtomicU64,
    refused: AtomicU64,
}

impl Outcomes {
    /// Sends one request and counts its outcome.
    async fn send(&self, agent: &Agent) -> Result<()> {
        let reply = agent.request("tools/list", json!({})).await?;
        match reply.status.as_u16() {
            200 => self.served.fetch_add(1, Ordering::Relaxed),
            429 => self.refused.fetch_add(1, Ordering::Relaxed),
            _ => bail!("{}", reply.text()),
        };
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_proxies_serve_one_limit_together() {
    let mut fleet = ProxyFleet::start("limited-fleet", &[]).await.unwrap();
    let sandbox = Sandbox::new("limited-fleet-documents").unwrap();
    let limit = "requests: 30, interval: 30s";
    let start = now();
    let agents = limit_fleet(&mut fleet, &sandbox, limit).await.unwrap();
    let outcomes = Outcomes::default();
    for agent in agents.iter().cycle().take(240) {
        outcomes.send(agent).await.unwrap();
    }
    let windows = start.elapsed().as_secs() / 30 + 1;
    let served = outcomes.served.load(Ordering::Relaxed);
    let refused = outcomes.refused.load(Ordering::Relaxed);
    println!(
        "{served} served, {refused} refused in {:?}",
        start.elapsed()
    );
    assert!(served > 0 && served <= 30 * windows + 30, "{served}");
    assert!(refused > 0, "{served} served");
    if std::env::var_os("TOOLGATE_TEST_DRILL").is_some() {
        // One request per second.
        let (served, expected) = saturate(agents).await.unwrap();
        println!("{served} served where the limit permits {expected}");
        assert!(
            served.abs_diff(expected) * 10 <= expected,
            "{served} of {expected}"
        );
    }
}

/// Sends more than the limit permits for three intervals; returns the number served, and the time in seconds. The quotas
/// are exhausted before, so that only the rate counts.
async fn saturate(agents: Vec<Agent>) -> Result<(u64, u64)> {
    let outcomes = Arc::new(Outcomes::default());
    let start = now();
    let period = Duration::from_secs(90);
    let mut tasks = tokio::task::JoinSet::new();
    for agent in agents {
        let outcomes = Arc::clone(&outcomes);
        tasks.spawn(async move {
            while start.elapsed() < period {
                outcomes.send(&agent).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let served = outcomes.served.load(Ordering::Relaxed);
    Ok((served, start.elapsed().as_secs()))
}
