//! Clocks that are off: proxies and control planes go on, and name the difference instead of guessing.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use toolgate_tests::{
    clock::{HANG_GUARD, eventually},
    etcd_cluster::TestEtcdCluster,
    sandbox::Sandbox,
    shifted_clock::ShiftedClock,
    toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess, text},
};

/// Returns what a control plane says of a proxy.
async fn proxy(cli: &CommandLine, id: &str) -> Result<Value> {
    let list = cli.json(&["get", "proxies"]).await?;
    let mut list = list.as_array().into_iter().flatten();
    let found = list.find(|it| it["name"] == format!("proxies/{id}"));
    Ok(found
        .with_context(|| format!("{id} is not listed"))?
        .clone())
}

/// Waits until `doctor` has a line about the clock of this proxy, and returns it.
async fn clock_finding(cli: &CommandLine, id: &str) -> Result<String> {
    eventually("doctor names the clock", HANG_GUARD, || async {
        let doctor = cli.output(&["doctor"]).await?;
        let doctor = text(&doctor.stdout);
        let subject = format!("clock of proxy {id}: ");
        let line = doctor.lines().find(|line| line.contains(&subject));
        Ok(line.with_context(|| doctor.clone())?.to_owned())
    })
    .await
}

async fn connected(cli: &CommandLine, id: &str) -> Result<()> {
    eventually("the proxy is connected", HANG_GUARD, || async {
        let proxy = proxy(cli, id).await?;
        ensure!(proxy["connected"] == true, "{proxy}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_whose_clock_is_off_joins_restarts_and_is_named_with_its_difference() {
    let sandbox = Sandbox::new("clocks-proxies").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let mut proxies = Vec::new();
    for (id, difference, named) in [
        ("ahead-3m", "+180s", "ahead of"),
        ("behind-3m", "-180s", "behind"),
        ("ahead-3d", "+3d", "3d0h ahead of"),
    ] {
        let clock = ShiftedClock::new(&sandbox, id, difference).unwrap();
        let mut proxy = ProxyProcess::start_joining(&sandbox, id, &plane, &[], Some(clock))
            .await
            .unwrap();
        proxy.ready().await.unwrap();
        // Its certificate is valid, whatever its own clock says of it: the used token is not needed again.
        proxy.restart().await.unwrap();
        connected(&cli, id).await.unwrap();
        let finding = clock_finding(&cli, id).await.unwrap();
        assert!(finding.contains(named), "{finding}");
        let readyz = eventually("the proxy names its clock", HANG_GUARD, || async {
            let readyz = proxy.readyz().await?;
            ensure!(readyz.contains("this machine's clock shows"), "{readyz}");
            Ok(readyz)
        });
        let readyz = readyz.await.unwrap();
        assert!(readyz.contains("time synchronisation"), "{readyz}");
        let log = proxy.process().stderr();
        assert!(log.contains("the clock is off"), "{log}");
        let joins = log.matches("joined the fleet").count();
        let renewals = log.matches("the certificate was renewed").count();
        assert_eq!((joins, renewals), (1, 0), "{log}");
        proxies.push(proxy);
    }
    eventually("the control plane names them all", HANG_GUARD, || async {
        let readyz = plane.readyz().await?;
        let named = readyz.matches("the clock of proxy").count();
        ensure!(named == proxies.len(), "{readyz}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_cannot_join_because_of_its_clock_says_so_and_joins_once_it_is_set() {
    let sandbox = Sandbox::new("clocks-join").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let clock = ShiftedClock::new(&sandbox, "late", "-3d").unwrap();
    let mut proxy = ProxyProcess::start_joining(&sandbox, "late", &plane, &[], Some(clock.clone()))
        .await
        .unwrap();
    let told = eventually("the proxy names both times", HANG_GUARD, || async {
        let readyz = proxy.readyz().await?;
        ensure!(readyz.contains("is not valid before"), "{readyz}");
        Ok(readyz)
    });
    let told = told.await.unwrap();
    assert!(told.contains("the clock of this machine shows"), "{told}");
    assert!(!told.contains("join-token"), "the token is good: {told}");
    clock.set("+0s").unwrap();
    proxy.ready().await.unwrap();
    let cli = plane.cli().unwrap();
    connected(&cli, "late").await.unwrap();
    // A step of the clock of a running proxy ends nothing.
    clock.set("+3d").unwrap();
    let finding = clock_finding(&cli, "late").await.unwrap();
    assert!(finding.contains("ahead of"), "{finding}");
    let readyz = proxy.readyz().await.unwrap();
    assert!(!readyz.contains("certificate:"), "{readyz}");
    connected(&cli, "late").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn control_planes_with_different_clocks_agree_on_the_proxies_that_are_connected() {
    let sandbox = Sandbox::new("clocks-planes").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let mut others = Vec::new();
    for (name, difference) in [("ahead", "+3d"), ("behind", "-180s")] {
        let clock = ShiftedClock::new(&sandbox, name, difference).unwrap();
        let other = plane.start_replica_with_clock(name, Some(&clock)).await;
        others.push(other.unwrap());
    }
    let mut proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane)
        .await
        .unwrap();
    let mut lines = vec![plane.cli().unwrap()];
    lines.extend(others.iter().map(|other| other.cli().unwrap()));
    for cli in &lines {
        connected(cli, "proxy-1").await.unwrap();
    }
    proxy.process().kill().unwrap();
    for cli in &lines {
        eventually("the proxy is away", HANG_GUARD, || async {
            let proxy = self::proxy(cli, "proxy-1").await?;
            ensure!(proxy["connected"] != true, "{proxy}");
            Ok(())
        })
        .await
        .unwrap();
    }
    // A token of one control plane has the same lifetime at another, so that a proxy can join there.
    let other = others.pop().unwrap();
    let mut newcomer = ProxyProcess::start_joining(&sandbox, "proxy-2", &other, &[], None)
        .await
        .unwrap();
    newcomer.ready().await.unwrap();
    connected(&lines[0], "proxy-2").await.unwrap();
}
