//! Health of servers as the proxies see it: a server that ends is named with its cause by the status, the events and the
//! checks of every command, without a probe.

use anyhow::{Context as _, Result, ensure};
use toolgate_tests::{
    agent::Agent,
    clock::{HANG_GUARD, eventually},
    proxy_fleet::ProxyFleet,
    sandbox::Sandbox,
    toolgate::{CommandLine, text},
    upstream_server::UpstreamServer,
};

/// Returns what a command prints, successful or not.
async fn printed(cli: &CommandLine, arguments: &[&str]) -> Result<String> {
    Ok(text(&cli.output(arguments).await?.stdout))
}

/// Sends a call through each of these proxies, whether it succeeds or not.
async fn call_all(agents: &[Agent]) {
    for agent in agents {
        drop(agent.echo("echo", "hello").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_is_named_by_the_proxies_that_call_it_and_so_is_its_return() {
    let mut fleet = ProxyFleet::start("server-health", &[]).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    let agents: Vec<Agent> = (0..2)
        .map(|at| Agent::modern(&fleet.url(at), &fleet.token))
        .collect();
    let address = fleet.server.address();
    fleet.server.process().kill().unwrap();
    let told = eventually(
        "both proxies are named with the cause",
        HANG_GUARD,
        || async {
            call_all(&agents).await;
            let described = printed(&cli, &["describe", "server", "main"]).await?;
            for proxy in ["proxy-1", "proxy-2"] {
                let mut lines = described.lines();
                let line = lines.find(|line| line.contains(proxy));
                let line = line.with_context(|| described.clone())?;
                ensure!(line.contains("fails since"), "{described}");
                ensure!(line.contains("no connection"), "{described}");
            }
            Ok(described)
        },
    )
    .await
    .unwrap();
    assert!(!told.contains("proxy-3"), "it sent no calls: {told}");
    let events = printed(&cli, &["events"]).await.unwrap();
    let failing = |proxy: &str| format!("it fails for proxy {proxy}: no connection");
    for proxy in ["proxy-1", "proxy-2"] {
        assert!(events.contains(&failing(proxy)), "{events}");
    }
    let table = printed(&cli, &["get", "servers"]).await.unwrap();
    assert!(table.contains("fails: proxy-1,proxy-2"), "{table}");
    let gateway = printed(&cli, &["describe", "gateway", "main"])
        .await
        .unwrap();
    assert!(!gateway.contains("fails for all proxies"), "{gateway}");

    let again = Sandbox::new("server-health-again").unwrap();
    let _server = UpstreamServer::fixture_at(&again, "fixture", address, &[])
        .await
        .unwrap();
    eventually("both proxies name the recovery", HANG_GUARD, || async {
        call_all(&agents).await;
        let described = printed(&cli, &["describe", "server", "main"]).await?;
        ensure!(!described.contains("fails since"), "{described}");
        let events = printed(&cli, &["events"]).await?;
        for proxy in ["proxy-1", "proxy-2"] {
            let recovered = format!("it answers proxy {proxy} again");
            ensure!(events.contains(&recovered), "{events}");
            ensure!(events.contains(&failing(proxy)), "{events}");
        }
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_names_a_server_that_fails_for_all_proxies() {
    let mut fleet = ProxyFleet::start("server-health-all", &[]).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    let agents: Vec<Agent> = (0..3)
        .map(|at| Agent::modern(&fleet.url(at), &fleet.token))
        .collect();
    fleet.server.process().kill().unwrap();
    eventually("the gateway names the server", HANG_GUARD, || async {
        call_all(&agents).await;
        let gateway = printed(&cli, &["describe", "gateway", "main"]).await?;
        let named = "server main fails for all proxies: no connection";
        ensure!(gateway.contains(named), "{gateway}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_server_is_ready_without_a_call_and_no_wait_ends_by_an_earlier_probe() {
    let mut fleet = ProxyFleet::start("server-health-wait", &[]).await.unwrap();
    let cli = fleet.plane.cli().unwrap();
    let agents = [Agent::modern(&fleet.url(0), &fleet.token)];
    let wait = async |time: &str| {
        let arguments = ["wait", "server", "main", "--timeout", time];
        cli.output(&arguments).await.unwrap()
    };
    assert!(wait("60s").await.status.success());
    let address = fleet.server.address();
    fleet.server.process().kill().unwrap();
    let waited = wait("3s").await;
    assert!(
        !waited.status.success(),
        "the probe before the failure counted"
    );
    eventually("the proxy is named", HANG_GUARD, || async {
        call_all(&agents).await;
        let described = printed(&cli, &["describe", "server", "main"]).await?;
        ensure!(described.contains("fails since"), "{described}");
        Ok(())
    })
    .await
    .unwrap();
    let again = Sandbox::new("server-health-wait-again").unwrap();
    let _server = UpstreamServer::fixture_at(&again, "fixture", address, &[])
        .await
        .unwrap();
    let waited = wait("60s").await;
    assert!(waited.status.success(), "{}", text(&waited.stderr));
    let described = printed(&cli, &["describe", "server", "main"])
        .await
        .unwrap();
    assert!(!described.contains("fails since"), "{described}");
    let checked = printed(&cli, &["doctor"]).await.unwrap();
    assert!(!checked.contains("it fails for prox"), "{checked}");
}
