//! A snapshot of etcd that is restored into another cluster: proxies adopt it with a new epoch only, and a token that was
//! revoked after the snapshot stays revoked.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use toolgate_tests::{
    agent::Agent,
    clock::{HANG_GUARD, eventually, now, throughout, within},
    etcd_cluster::TestEtcdCluster,
    sandbox::Sandbox,
    toolgate::{ControlPlaneProcess, ProxyProcess},
    upstream_server::UpstreamServer,
};

/// Limit until the restored state is served.
const ADOPT_TIMEOUT: Duration = Duration::from_secs(10);

async fn status_is(agent: &Agent, status: u16) -> Result<()> {
    let reply = agent.request("tools/list", json!({})).await?;
    ensure!(reply.status.as_u16() == status, "{}", reply.status);
    Ok(())
}

/// Waits until the gateway of an agent answers with this status.
async fn becomes(agent: &Agent, status: u16, most: Duration) -> Result<()> {
    let what = format!("the status is {status}");
    eventually(&what, most, || status_is(agent, status)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_snapshot_is_adopted_with_a_new_epoch_and_revives_no_revoked_token() {
    let sandbox = Sandbox::new("restored").unwrap();
    let mut etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let mut proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    cli.expose("main", server.url(), "single").await.unwrap();
    let lasting = cli.token("lasting", &[]).await.unwrap();
    let revoked = cli.token("revoked", &[]).await.unwrap();
    let main = Agent::modern(&proxy.url("main"), &lasting);
    let with_revoked = Agent::modern(&proxy.url("main"), &revoked);
    for agent in [&main, &with_revoked] {
        becomes(agent, 200, HANG_GUARD).await.unwrap();
    }
    let snapshot = sandbox.join("snapshot.db");
    etcd.save(&snapshot).unwrap();

    // After the snapshot.
    cli.run(&["token", "revoke", "revoked"]).await.unwrap();
    let create = [
        "gateway", "create", "later", "--server", "main", "--prefix", "single",
    ];
    cli.run(&create).await.unwrap();
    let later = Agent::modern(&proxy.url("later"), &lasting);
    becomes(&later, 200, HANG_GUARD).await.unwrap();
    becomes(&with_revoked, 401, HANG_GUARD).await.unwrap();
    plane.kill().unwrap();
    etcd.kill(0).unwrap();

    let restored = TestEtcdCluster::restore(&sandbox, &snapshot).await.unwrap();
    plane.set_endpoints(&restored.endpoints());
    plane.restart().await.unwrap();
    let period = Duration::from_secs(3);
    throughout("without a new epoch", period, || async {
        status_is(&later, 200).await?;
        status_is(&with_revoked, 401).await
    })
    .await
    .unwrap();

    plane.restart_with(&["--new-epoch"]).await.unwrap();
    let start = now();
    becomes(&later, 404, within(ADOPT_TIMEOUT)).await.unwrap();
    println!("adopted after {:?}", start.elapsed());
    status_is(&main, 200).await.unwrap();
    throughout("with the new epoch", period, || {
        status_is(&with_revoked, 401)
    })
    .await
    .unwrap();
    // The proxy keeps it across its own restart, too.
    proxy.restart().await.unwrap();
    throughout("after a restart", period, || status_is(&with_revoked, 401))
        .await
        .unwrap();
    status_is(&main, 200).await.unwrap();
}
