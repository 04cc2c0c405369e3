//! A proxy that an operator has deleted leaves the fleet: it serves nothing, also after a restart, until it joins again under
//! another id. The proxy of `up` cannot be deleted.

use anyhow::{Result, ensure};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess, ToolgateUp, text};
use toolgate_tests::upstream_server::UpstreamServer;

/// Time that a call in flight takes, in milliseconds: longer than a proxy needs to learn that it was deleted.
const SLOW_CALL: u64 = 4_000;

async fn status_is(agent: &Agent, status: u16) -> Result<()> {
    let reply = agent.request("tools/list", json!({})).await?;
    ensure!(reply.status.as_u16() == status, "{}", reply.status);
    Ok(())
}

/// Checks that a proxy is not ready, and that its log and its readiness name the cause and the next step.
async fn has_left(proxy: &mut ProxyProcess) -> Result<()> {
    let readyz = proxy.readyz().await?;
    let log = proxy.process().stderr();
    ensure!(readyz.starts_with("not ready"), "{readyz}");
    for words in ["proxy-1 was deleted from the fleet", "`--id`", "join-token"] {
        ensure!(readyz.contains(words), "{words}: {readyz}");
        ensure!(log.contains(words), "{words}: {log}");
    }
    Ok(())
}

/// Checks what the dry run and the result of the deletion say about the process.
async fn delete(cli: &CommandLine, proxy: &str) -> Result<()> {
    for (flags, words) in [
        (&["--dry-run"][..], "its process would stop serving"),
        (&[][..], "its process stops serving"),
    ] {
        let arguments = [&["delete", "proxy", proxy][..], flags].concat();
        let told = text(&cli.run(&arguments).await?.stderr);
        for words in [words, "another `--id`"] {
            ensure!(told.contains(words), "{words}: {told}");
        }
    }
    Ok(())
}

/// Starts two proxies that serve the gateway `main`. Returns a token for it, too.
async fn two_proxies(
    sandbox: &Sandbox,
    plane: &ControlPlaneProcess,
    server: &UpstreamServer,
) -> Result<([ProxyProcess; 2], String)> {
    let first = ProxyProcess::join(sandbox, "proxy-1", plane).await?;
    let second = ProxyProcess::join(sandbox, "proxy-2", plane).await?;
    let cli = plane.cli()?;
    cli.expose("main", server.url(), "single").await?;
    let token = cli.token("agent", &[]).await?;
    for proxy in [&first, &second] {
        let agent = Agent::modern(&proxy.url("main"), &token);
        eventually("both serve", HANG_GUARD, || agent.echo("echo", "hello")).await?;
    }
    Ok(([first, second], token))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_proxy_finishes_its_calls_and_serves_nothing_until_it_joins_under_another_id() {
    let sandbox = Sandbox::new("deleted").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let ([mut leaving, mut staying], token) = two_proxies(&sandbox, &plane, &server).await.unwrap();
    let cli = plane.cli().unwrap();
    let at_home = Agent::legacy(&leaving.url("main"), &token).await.unwrap();
    let elsewhere = at_home.at_url(&staying.url("main"));
    elsewhere.echo("echo", "before").await.unwrap();

    // A call is in flight when the proxy is deleted.
    let modern = Agent::modern(&leaving.url("main"), &token);
    let slow = modern.call("sleep", json!({"ms": SLOW_CALL}));
    let deletion = async {
        eventually("the call has begun", HANG_GUARD, || async {
            let begun = server.counts().await?.tools.get("sleep").copied();
            ensure!(begun == Some(1), "{begun:?}");
            Ok(())
        })
        .await?;
        delete(&cli, "proxy-1").await?;
        let refused = || status_is(&at_home, 503);
        eventually("it serves nothing", HANG_GUARD, refused).await
    };
    let (finished, deleted) = tokio::join!(slow, deletion);
    deleted.unwrap();
    finished.unwrap();
    has_left(&mut leaving).await.unwrap();
    // Its session goes on at the other proxy.
    eventually("the session goes on", HANG_GUARD, || {
        elsewhere.echo("echo", "after")
    })
    .await
    .unwrap();

    // The record outlives a restart, also without a control plane, which the other proxy does not mind.
    plane.kill().unwrap();
    leaving.process().kill().unwrap();
    leaving.launch_again().unwrap();
    eventually("it is told again", HANG_GUARD, || async {
        let readyz = leaving.readyz().await?;
        ensure!(readyz.contains("was deleted from the fleet"), "{readyz}");
        Ok(())
    })
    .await
    .unwrap();
    has_left(&mut leaving).await.unwrap();
    let refused = || status_is(&modern, 503);
    eventually("it listens and refuses", HANG_GUARD, refused)
        .await
        .unwrap();
    staying.restart().await.unwrap();
    let other = Agent::modern(&staying.url("main"), &token);
    other.echo("echo", "without a control plane").await.unwrap();

    // The same machine joins again.
    plane.restart().await.unwrap();
    leaving.process().kill().unwrap();
    std::fs::rename(leaving.data(), sandbox.join("proxy-3")).unwrap();
    let again = ProxyProcess::join(&sandbox, "proxy-3", &plane)
        .await
        .unwrap();
    let agent = Agent::modern(&again.url("main"), &token);
    agent.echo("echo", "again").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_up_is_neither_deleted_nor_named_after_a_restore() {
    let sandbox = Sandbox::new("own-proxy").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    up.restart(&["--new-epoch"]).await.unwrap();
    let cli = up.cli().unwrap();
    eventually("the proxy is recorded", HANG_GUARD, || async {
        cli.run(&["describe", "proxy", "local"]).await
    })
    .await
    .unwrap();
    let findings = text(&cli.output(&["doctor"]).await.unwrap().stdout);
    let started = up.process().stdout();
    for told in [findings, started] {
        assert!(!told.contains("delete proxy"), "{told}");
    }
    for flags in [&["--dry-run"][..], &[]] {
        let arguments = [&["delete", "proxy", "local"][..], flags].concat();
        let (_, told) = cli.fails(&arguments).await.unwrap();
        for words in ["proxy local is part of the process", "stop `toolgate up`"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    // Another start finds it admitted.
    up.restart(&[]).await.unwrap();
    assert!(up.readyz().await.unwrap().starts_with("ok"));
}
