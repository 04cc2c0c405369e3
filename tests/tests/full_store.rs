//! A store that fills up: observations never take the room of what operators write, revocation works in a full store, and a
//! full disk ends writes only as long as it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use etcd_client::DeleteOptions;
use toolgate_tests::{
    agent::Agent,
    announcement_server::AnnouncementServer,
    clock::{HANG_GUARD, eventually},
    etcd_cluster::TestEtcdCluster,
    sandbox::Sandbox,
    small_disk::SmallDisk,
    toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess, ToolgateUp},
    upstream_server::UpstreamServer,
};

const MIB: u64 = 1024 * 1024;

async fn etcd_of(
    sandbox: &Sandbox,
    mebibytes: u64,
) -> Result<(TestEtcdCluster, ControlPlaneProcess)> {
    let quota = (mebibytes * MIB).to_string();
    let etcd = TestEtcdCluster::start_with(sandbox, 1, &["--quota-backend-bytes", &quota]).await?;
    let flags = ["--etcd-quota", &mebibytes.to_string()];
    let plane =
        ControlPlaneProcess::start_with(sandbox, "plane", &etcd.endpoints(), &flags).await?;
    Ok((etcd, plane))
}

/// Runs `doctor`; returns what it shows. It ends with an error if something is broken.
async fn doctor(cli: &CommandLine) -> Result<String> {
    let output = cli.output(&["doctor"]).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_change_at_every_list_do_not_fill_the_store() {
    let sandbox = Sandbox::new("flapping").unwrap();
    let (etcd, plane) = etcd_of(&sandbox, 32).await.unwrap();
    let cli = plane.cli().unwrap();
    let mut servers = Vec::new();
    for number in 0..3 {
        let server = AnnouncementServer::start_large(600_000).await.unwrap();
        let (name, url) = (format!("flapping-{number}"), server.url());
        let add = ["server", "add", &name, "--url", &url, "--no-wait"];
        cli.run(&add).await.unwrap();
        servers.push(server);
    }
    // Every probe finds a change. If every change were stored, twenty probes of each server would fill the store.
    eventually("the servers are named", HANG_GUARD, || async {
        let shown = doctor(&cli).await?;
        let named = shown.matches("change at almost every probe").count();
        anyhow::ensure!(named == 3, "{shown}");
        Ok(())
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let least = servers.iter().map(AnnouncementServer::lists).min();
    assert!(least >= Some(4), "the servers are read again: {least:?}");
    let (used, alarms) = etcd.size(0).await.unwrap();
    assert!(
        used < 19 * MIB && alarms.is_empty(),
        "{} KiB in use, {alarms:?}",
        used / 1024
    );
    cli.run(&["token", "create", "ci"]).await.unwrap();
    cli.run(&["token", "revoke", "ci"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_in_a_store_full_of_live_entries() {
    let sandbox = Sandbox::new("full-etcd").unwrap();
    let (etcd, plane) = etcd_of(&sandbox, 32).await.unwrap();
    let cli = plane.cli().unwrap();
    cli.run(&["token", "create", "ci"]).await.unwrap();
    eventually("the reserve is set aside", HANG_GUARD, || async {
        let reserve = etcd.list("/toolgate/reserve/").await?;
        anyhow::ensure!(reserve.len() == 32, "{}", reserve.len());
        Ok(())
    })
    .await
    .unwrap();
    fill(&etcd).await.unwrap();
    cli.run(&["token", "revoke", "ci"]).await.unwrap();
    let shown = cli.json(&["get", "token", "ci"]).await.unwrap();
    assert_eq!(shown["status"]["revoked"], true, "{shown}");
    let shown = doctor(&cli).await.unwrap();
    assert!(shown.contains("--quota-backend-bytes"), "{shown}");
    let ready = plane.readyz().await.unwrap();
    assert!(ready.starts_with("ok\nwarning: store: "), "{ready}");
    let (_, alarms) = etcd.size(0).await.unwrap();
    assert_eq!(alarms, Vec::<String>::new(), "the alarm is disarmed");
}

/// Writes entries of another program until etcd takes no more.
async fn fill(etcd: &TestEtcdCluster) -> Result<()> {
    let mut client = etcd.connect(0).await?;
    for count in 0..1_000 {
        let (key, value) = (format!("/other/{count}"), vec![b'x'; 200_000]);
        if client.put(key, value, None).await.is_err() {
            return Ok(());
        }
        // etcd measures itself every 100 ms.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the quota is never reached")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_beside_a_full_etcd_and_writes_after_a_deletion() {
    let sandbox = Sandbox::new("calls-full-etcd").unwrap();
    let (etcd, plane) = etcd_of(&sandbox, 32).await.unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let secret = cli.expose("files", server.url(), "single").await.unwrap();
    let agent = Agent::modern(&proxy.url("files"), &secret);
    eventually("the gateway is served", HANG_GUARD, || agent.tools())
        .await
        .unwrap();
    let has_ended = AtomicBool::new(false);
    let calling = async {
        let mut calls = 0;
        while !has_ended.load(Ordering::SeqCst) {
            agent.echo("echo", "beside a full store").await?;
            calls += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(calls)
    };
    let filling = async {
        fill(&etcd).await?;
        let (_, told) = cli.fails(&["token", "create", "refused"]).await?;
        anyhow::ensure!(told.contains("--quota-backend-bytes"), "{told}");
        cli.json(&["get", "tokens"]).await?;
        let metrics = plane.metrics().await?;
        for name in ["toolgate_store_used_bytes", "toolgate_store_quota_bytes"] {
            anyhow::ensure!(metrics.contains(name), "{metrics}");
        }
        // The operator deletes what is not needed. The rest happens by itself.
        let others = DeleteOptions::new().with_prefix();
        etcd.connect(0)
            .await?
            .delete("/other/", Some(others))
            .await?;
        eventually("writes go on", HANG_GUARD, || async {
            cli.run(&["token", "create", "after", "-o", "name"])
                .await
                .map(drop)
        })
        .await
    };
    let filling = async {
        let filled = Box::pin(filling).await;
        has_ended.store(true, Ordering::SeqCst);
        filled
    };
    let (calls, filled) = tokio::join!(calling, filling);
    filled.unwrap();
    println!("{} calls beside the full store", calls.unwrap());
    let (_, alarms) = etcd.size(0).await.unwrap();
    assert_eq!(alarms, Vec::<String>::new(), "the alarm is disarmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_writes_only_as_long_as_it_is_full() {
    let sandbox = Sandbox::new("full-disk").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let disk = Arc::new(SmallDisk::mount(&sandbox, 24 * MIB).await.unwrap());
    let flags = ["--no-demo"];
    let mut up = ToolgateUp::start_on(&sandbox, &disk, &flags).await.unwrap();
    let secret = up.expose("files", server.url(), "never").await.unwrap();
    let cli = up.cli().unwrap();
    let reserve = disk.outside(&up.data().join("store.reserve"));
    eventually("the reserve is set aside", HANG_GUARD, || async {
        anyhow::ensure!(reserve.exists(), "it is missing");
        Ok(())
    })
    .await
    .unwrap();
    disk.fill().unwrap();
    let mut refused = None;
    for number in 0..2_000 {
        let output = cli
            .output(&["token", "create", &format!("t{number}")])
            .await
            .unwrap();
        if !output.status.success() {
            refused = Some(String::from_utf8_lossy(&output.stderr).into_owned());
            break;
        }
    }
    let refused = refused.expect("a full disk is noticed");
    assert!(
        refused.contains("disk") && !refused.contains("defragment"),
        "{refused}"
    );
    eventually("the full disk is told", HANG_GUARD, || async {
        let ready = up.readyz().await?;
        anyhow::ensure!(ready.contains("warning: store: "), "{ready}");
        let shown = doctor(&cli).await?;
        anyhow::ensure!(shown.contains("free room on the disk"), "{shown}");
        Ok(())
    })
    .await
    .unwrap();
    // A revocation has the reserve.
    cli.run(&["token", "revoke", "t0"]).await.unwrap();
    // What is configured is served after a start on the full disk.
    up.restart(&flags).await.unwrap();
    let agent = Agent::modern(&up.url("files"), &secret);
    eventually("the gateway is served", HANG_GUARD, || agent.tools())
        .await
        .unwrap();
    disk.free().unwrap();
    eventually("writes go on without a restart", HANG_GUARD, || async {
        let output = cli.output(&["token", "create", "after"]).await?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success() || told.contains("exists"), "{told}");
        Ok(())
    })
    .await
    .unwrap();
}
