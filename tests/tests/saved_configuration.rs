//! The configuration that a proxy saves: what it acknowledged survives a crash.

use std::time::Duration;

use anyhow::{Result, ensure};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::paged_server::PagedServer;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess, text};

/// Time after which an acknowledged configuration survives a crash, on a quiet machine.
const DURABLE_AFTER: Duration = Duration::from_secs(1);

/// Time without a write after which a busy machine has written what it had to.
const WRITES_ENDED: Duration = Duration::from_secs(5);

/// Maximum processor time that a proxy without work uses meanwhile.
const IDLE: Duration = Duration::from_millis(200);

/// Gateways that are created one after the other.
const GATEWAYS: usize = 6;

async fn check_in_sync(cli: &CommandLine) -> Result<()> {
    let shown = text(&cli.run(&["proxies"]).await?.stdout);
    ensure!(shown.contains("in sync"), "{shown}");
    Ok(())
}

/// Waits until an acknowledged configuration has to be in the files of the proxy: for its time in a drill, and until the
/// proxy neither writes nor works otherwise. A busy machine may take seconds to seal what is written next.
async fn until_durable(proxy: &mut ProxyProcess) -> Result<()> {
    if is_drill() {
        tokio::time::sleep(DURABLE_AFTER).await;
        return Ok(());
    }
    let folder = proxy.data();
    let process = &*proxy.process();
    eventually("the writes have ended", HANG_GUARD, || async {
        let before = process.cpu_time()?;
        tokio::time::sleep(WRITES_ENDED).await;
        let used = process.cpu_time()?.saturating_sub(before);
        ensure!(used <= IDLE, "the proxy used {used:?} of processor time");
        for file in std::fs::read_dir(&folder)? {
            let written = file?.metadata()?.modified()?;
            let age = written.elapsed().unwrap_or_default();
            ensure!(age >= WRITES_ENDED, "a file was written {age:?} ago");
        }
        Ok(())
    })
    .await
}

/// A configuration of about three megabytes takes so long to write as a whole that changes would wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_acknowledged_a_second_ago_survives_a_kill() {
    let sandbox = Sandbox::new("saved").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let server = PagedServer::start_with("large", 105, 7, 27 * 1024)
        .await
        .unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let mut proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    cli.expose("large", &server.url(), "single").await.unwrap();
    let token = cli.token("everywhere", &[]).await.unwrap();
    let mut agents = vec![Agent::modern(&proxy.url("large"), &token)];
    for number in 0..GATEWAYS {
        let id = format!("gateway-{number}");
        let create = [
            "gateway", "create", &id, "--server", "large", "--prefix", "single",
        ];
        cli.run(&create).await.unwrap();
        agents.push(Agent::modern(&proxy.url(&id), &token));
    }
    let mut before = Vec::new();
    for agent in &agents {
        let tools = eventually("the gateway is served", HANG_GUARD, || agent.tools());
        before.push(tools.await.unwrap());
    }
    eventually("all is acknowledged", HANG_GUARD, || check_in_sync(&cli))
        .await
        .unwrap();

    until_durable(&mut proxy).await.unwrap();
    proxy.process().kill().unwrap();
    plane.kill().unwrap();
    // Ready at once, from its own disk.
    proxy.restart().await.unwrap();
    for (number, (agent, before)) in agents.iter().zip(before).enumerate() {
        assert_eq!(agent.tools().await.unwrap(), before, "gateway {number}");
    }
}
