//! A deployment of many servers, gateways and tokens: one `apply` writes it, proxies serve it, and a write costs what it
//! touches. The full size is that of `make drill`, which prints the figures of docs/performance.md.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now};
use toolgate_tests::proxy_fleet::ProxyFleet;
use toolgate_tests::toolgate::{CommandLine, text};

/// Numbers of objects.
#[derive(Clone, Copy)]
struct DeploymentSize {
    servers: usize,
    gateways: usize,
    /// Bindings of each gateway.
    bindings: usize,
    tokens: usize,
    /// Writes whose cost is measured.
    writes: u32,
}

impl DeploymentSize {
    fn of_run() -> Self {
        if is_drill() {
            return Self {
                servers: 1_000,
                gateways: 10_000,
                bindings: 20,
                tokens: 10_000,
                writes: 100,
            };
        }
        Self {
            servers: 20,
            gateways: 200,
            bindings: 5,
            tokens: 200,
            writes: 5,
        }
    }
}

/// Longest `apply` of all gateways or all tokens; asserted by `make drill`.
const APPLY_GOAL: Duration = Duration::from_secs(60);
/// Longest time until a proxy that is started again serves; asserted by `make drill`.
const COLD_START_GOAL: Duration = Duration::from_secs(5);
/// Most processor time of a write, with its command and the requests of the test, on the control plane and on a proxy;
/// asserted by `make drill`.
const WRITE_GOAL: Duration = Duration::from_millis(6);
/// Upper bound of one `apply` at full size.
const APPLY_TIMEOUT: Duration = Duration::from_secs(900);

fn servers(size: DeploymentSize, url: &str) -> String {
    let mut documents = String::new();
    for number in 0..size.servers {
        let _ = write!(
            documents,
            "---\napiVersion: toolgate/v1\nkind: Server\nmetadata: {{name: server-{number}}}\nspec: {{url: '{url}'}}\n"
        );
    }
    documents
}

fn gateways(size: DeploymentSize) -> String {
    let mut documents = String::new();
    for number in 0..size.gateways {
        let _ = write!(
            documents,
            "---\napiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: gateway-{number}}}\nspec:\n  bindings:\n"
        );
        for at in 0..size.bindings {
            let server = (number + at) % size.servers;
            let _ = writeln!(
                documents,
                "    - {{server: server-{server}, tools: [echo]}}"
            );
        }
    }
    documents
}

fn tokens(size: DeploymentSize) -> String {
    let mut documents = String::new();
    for number in 0..size.tokens {
        let gateway = number % size.gateways;
        let _ = write!(
            documents,
            "---\napiVersion: toolgate/v1\nkind: Token\nmetadata: {{name: token-{number}}}\n\
             spec: {{user: user-{number}, gateways: [gateway-{gateway}]}}\n"
        );
    }
    documents
}

/// Applies documents in one command. Returns its duration and output.
async fn apply(
    cli: &CommandLine,
    fleet: &ProxyFleet,
    name: &str,
    documents: &str,
) -> Result<(Duration, String)> {
    let file = fleet.folder().join(format!("{name}.yaml"));
    std::fs::write(&file, documents)?;
    let file = file.to_string_lossy().into_owned();
    let mut command = cli.command(&["apply", "-f", &file])?;
    let start = now();
    let output = tokio::time::timeout(APPLY_TIMEOUT, command.output()).await;
    let output = output.with_context(|| format!("{name} are not applied"))??;
    let took = start.elapsed();
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{name}: {errors}");
    Ok((took, printed))
}

/// Waits until a gateway lists this many tools at a proxy.
async fn lists(url: &str, token: &str, tools: usize) -> Result<()> {
    let agent = Agent::modern(url, token);
    eventually("the gateway lists its tools", APPLY_TIMEOUT, || async {
        let listed = agent.tools().await?.len();
        ensure!(listed == tools, "{listed} of {tools} tools");
        Ok(())
    })
    .await
}

/// Waits until a gateway lists this many tools at every proxy.
async fn serve(fleet: &ProxyFleet, gateway: &str, tools: usize) -> Result<()> {
    for proxy in &fleet.proxies {
        lists(&proxy.url(gateway), &fleet.token, tools).await?;
    }
    Ok(())
}

/// Time from the end of a command until every proxy serves a gateway.
async fn until_served(fleet: &ProxyFleet, gateway: &str) -> Result<Duration> {
    let start = now();
    for proxy in &fleet.proxies {
        let agent = Agent::modern(&proxy.url(gateway), &fleet.token);
        while agent.tools().await.is_err() {
            ensure!(start.elapsed() < HANG_GUARD, "{gateway} is not served");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(start.elapsed())
}

/// Processor time of the control plane and of all proxies.
fn processor_times(fleet: &mut ProxyFleet) -> Result<(Duration, Duration)> {
    let plane = fleet.plane.process().cpu_time()?;
    let proxies = fleet.proxies.iter_mut();
    let times = proxies.map(|proxy| proxy.process().cpu_time());
    Ok((plane, times.sum::<Result<Duration>>()?))
}

/// Creates gateways one at a time. Returns the processor time of a write on the process where it is highest, and a
/// description with the time until proxies serve.
async fn measure_writes(
    fleet: &mut ProxyFleet,
    cli: &CommandLine,
    size: DeploymentSize,
) -> Result<(Duration, String)> {
    let mut delays = Vec::new();
    let before = processor_times(fleet)?;
    for number in 0..size.writes {
        let name = format!("late-{number}");
        cli.run(&[
            "gateway", "create", &name, "--server", "server-0", "--tools", "echo",
        ])
        .await?;
        delays.push(until_served(fleet, &name).await?);
    }
    let after = processor_times(fleet)?;
    let plane = (after.0 - before.0) / size.writes;
    let proxy = (after.1 - before.1) / size.writes / 3;
    delays.sort();
    let description = format!(
        "a write: {plane:?} of the control plane, {proxy:?} of a proxy, with the requests of the test; served after \
         {:?} (median), {:?} (most)",
        delays.get(delays.len() / 2),
        delays.last(),
    );
    Ok((plane.max(proxy), description))
}

/// Describes the resident memory of the control plane and of a proxy.
fn memory(fleet: &mut ProxyFleet, moment: &str) -> Result<String> {
    let plane = fleet.plane.process().resident()?;
    let proxy = fleet
        .proxies
        .first_mut()
        .context("no proxy")?
        .process()
        .resident()?;
    Ok(format!(
        "{moment}: control plane {} KiB, proxy {} KiB",
        plane / 1024,
        proxy / 1024
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_deployment_is_applied_in_one_command_and_served_by_every_proxy() {
    let size = DeploymentSize::of_run();
    let mut fleet = ProxyFleet::start("scale", &[]).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    println!("{}", memory(&mut fleet, "empty").unwrap());
    let documents = servers(size, fleet.server.url());
    let (took, printed) = apply(&cli, &fleet, "servers", &documents).await.unwrap();
    println!("{} servers applied in {took:?}", size.servers);
    assert_eq!(
        printed.matches("created").count(),
        size.servers,
        "{printed}"
    );
    let (took, printed) = apply(&cli, &fleet, "gateways", &gateways(size))
        .await
        .unwrap();
    println!(
        "{} gateways of {} bindings applied in {took:?}",
        size.gateways, size.bindings
    );
    assert_eq!(printed.matches("created").count(), size.gateways);
    assert!(!is_drill() || took < APPLY_GOAL, "{took:?}");
    let start: Instant = now();
    for number in [0, size.gateways / 2, size.gateways - 1] {
        serve(&fleet, &format!("gateway-{number}"), size.bindings)
            .await
            .unwrap();
    }
    println!("all served after {:?}", start.elapsed());
    println!("{}", memory(&mut fleet, "with gateways").unwrap());
    let (took, printed) = apply(&cli, &fleet, "tokens", &tokens(size)).await.unwrap();
    println!("{} tokens applied in {took:?}", size.tokens);
    let secrets: Vec<&str> = printed
        .split_whitespace()
        .filter(|word| word.starts_with("archestra_"))
        .collect();
    assert_eq!(secrets.len(), size.tokens, "every secret is shown");
    let last = (size.tokens - 1) % size.gateways;
    for proxy in &fleet.proxies {
        let url = proxy.url(&format!("gateway-{last}"));
        lists(&url, secrets.last().unwrap(), size.bindings)
            .await
            .unwrap();
    }
    assert!(!is_drill() || took < APPLY_GOAL, "{took:?}");
    let (cost, description) = measure_writes(&mut fleet, &cli, size).await.unwrap();
    println!("{description}");
    assert!(!is_drill() || cost < WRITE_GOAL, "{cost:?}");
    let start = now();
    fleet.proxies[2].restart().await.unwrap();
    serve(&fleet, "late-0", 1).await.unwrap();
    let took = start.elapsed();
    println!("a restarted proxy serves after {took:?}");
    assert!(!is_drill() || took < COLD_START_GOAL, "{took:?}");
    println!("{}", memory(&mut fleet, "at the end").unwrap());
    // The same documents again change nothing.
    let (_took, printed) = apply(&cli, &fleet, "gateways", &gateways(size))
        .await
        .unwrap();
    assert_eq!(printed.matches("unchanged").count(), size.gateways);
}
