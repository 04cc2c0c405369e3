//! A snapshot of etcd that is restored into another cluster: proxies adopt it with a new epoch only, and a token that was
//! revoked after the snapshot stays revoked. A store that is empty although there was a deployment is refused.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use toolgate_tests::{
    agent::Agent,
    clock::{HANG_GUARD, eventually, now, throughout, within},
    etcd_cluster::TestEtcdCluster,
    sandbox::Sandbox,
    toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess, ToolgateUp},
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

/// Checks that the record of the control plane names the version that its proxy has acknowledged.
async fn is_recorded(cli: &CommandLine, record: &Path) -> Result<()> {
    let proxies = cli.json(&["get", "proxies"]).await?;
    let acked = proxies.pointer("/0/acked/revision");
    let acked = acked.and_then(Value::as_str).context("no version")?;
    let text = std::fs::read_to_string(record)?;
    let recorded = text.split_whitespace().next_back().context("no record")?;
    ensure!(
        recorded.parse::<u64>()? >= acked.parse::<u64>()?,
        "{text}: {acked}"
    );
    Ok(())
}

/// Waits until the log of the control plane and `doctor` name the next step after a restore.
async fn is_told(plane: &ControlPlaneProcess, cli: &CommandLine) -> Result<()> {
    let next_step = "once with `--new-epoch`";
    eventually("the log names the next step", HANG_GUARD, || async {
        ensure!(plane.log().contains(next_step), "{}", plane.log());
        Ok(())
    })
    .await?;
    eventually("doctor names the next step", HANG_GUARD, || async {
        let findings = cli.output(&["doctor"]).await?;
        let findings = String::from_utf8_lossy(&findings.stdout).into_owned();
        ensure!(findings.contains(next_step), "{findings}");
        Ok(())
    })
    .await
}

/// A record that is damaged lets nothing through. It is put back afterwards.
async fn is_refused_with_a_damaged_record(
    plane: &mut ControlPlaneProcess,
    record: &Path,
) -> Result<()> {
    let served = std::fs::read(record)?;
    std::fs::write(record, "epoch 1\nrevision 12x\n")?;
    let Err(refused) = plane.restart().await else {
        bail!("a damaged record is taken for none");
    };
    let refused = refused.to_string();
    for words in ["deployment", "is damaged", "--new-epoch"] {
        ensure!(refused.contains(words), "{words}: {refused}");
    }
    Ok(std::fs::write(record, served)?)
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
    let record = plane.data().join("deployment");
    eventually("the latest change is recorded", HANG_GUARD, || {
        is_recorded(&cli, &record)
    })
    .await
    .unwrap();
    plane.kill().unwrap();
    etcd.kill(0).unwrap();

    let restored = TestEtcdCluster::restore(&sandbox, &snapshot).await.unwrap();
    plane.set_endpoints(&restored.endpoints());
    // A control plane that has served later changes does not serve the copy.
    let refused = plane.restart().await.unwrap_err().to_string();
    for words in ["deployment", "older copy", "--new-epoch"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let damaged = is_refused_with_a_damaged_record(&mut plane, &record).await;
    damaged.unwrap();
    // On a machine that has served none, it tells that a proxy has seen later ones.
    std::fs::remove_file(&record).unwrap();
    plane.restart().await.unwrap();
    let period = Duration::from_secs(3);
    throughout("without a new epoch", period, || async {
        status_is(&later, 200).await?;
        status_is(&with_revoked, 401).await
    })
    .await
    .unwrap();
    is_told(&plane, &cli).await.unwrap();

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

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_snapshot_brings_back_no_join_token_no_role_and_no_lost_admin_token() {
    let sandbox = Sandbox::new("restored-access").unwrap();
    let mut etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let _member = ProxyProcess::join(&sandbox, "member", &plane)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let deploys = ["--no-gateways", "--role", "editor"];
    let deployer = cli.token("deployer", &deploys).await.unwrap();
    let token_file = plane.data().join("admin-token");
    let lost = std::fs::read_to_string(&token_file).unwrap();
    let join = sandbox.join("stolen.json");
    let made = cli.run(&["proxies", "join-token"]).await.unwrap();
    std::fs::write(&join, made.stdout).unwrap();
    let snapshot = sandbox.join("snapshot.db");
    etcd.save(&snapshot).unwrap();

    // After the snapshot, all of them are withdrawn or used.
    cli.run(&["token", "revoke", "deployer"]).await.unwrap();
    cli.run(&["delete", "proxy", "member"]).await.unwrap();
    let mut second =
        ProxyProcess::start_with_join_file(&sandbox, "second", &plane, &[], None, &join).unwrap();
    second.ready().await.unwrap();
    std::fs::remove_file(&token_file).unwrap();
    plane.restart_with(&["--reset-admin-token"]).await.unwrap();
    plane.kill().unwrap();
    etcd.kill(0).unwrap();

    let restored = TestEtcdCluster::restore(&sandbox, &snapshot).await.unwrap();
    plane.set_endpoints(&restored.endpoints());
    plane.restart_with(&["--new-epoch"]).await.unwrap();
    let cli = plane.cli().unwrap();
    cli.run(&["get", "tokens"]).await.unwrap();
    for token in [deployer.as_str(), lost.trim()] {
        let cli = plane.cli().unwrap().with_token(token);
        cli.fails(&["get", "servers"]).await.unwrap();
    }
    let mut intruder =
        ProxyProcess::start_with_join_file(&sandbox, "intruder", &plane, &[], None, &join).unwrap();
    eventually("the join token is refused", HANG_GUARD, || async {
        let log = std::fs::read_to_string(sandbox.join("intruder.err"))?;
        ensure!(log.contains("the join token is unknown, used"), "{log}");
        Ok(())
    })
    .await
    .unwrap();
    intruder.process().kill().unwrap();

    let findings = cli.output(&["doctor"]).await.unwrap();
    let findings = String::from_utf8_lossy(&findings.stdout).into_owned();
    for words in [
        "token default/deployer",
        "lost its role editor",
        "`toolgate token revoke organizations/default/tokens/deployer`",
        "member",
        "`toolgate delete proxy NAME`",
    ] {
        assert!(findings.contains(words), "{words}: {findings}");
        let told = plane.process().stdout();
        assert!(told.contains(words), "{words}: {told}");
    }
    // The commands that are named work.
    let deployer = "organizations/default/tokens/deployer";
    cli.run(&["describe", "token", deployer]).await.unwrap();
    let revoke = ["token", "revoke", deployer];
    cli.run(&revoke).await.unwrap();
    cli.run(&["delete", "proxy", "member"]).await.unwrap();
    let findings = cli.output(&["doctor"]).await.unwrap();
    let findings = String::from_utf8_lossy(&findings.stdout).into_owned();
    assert!(!findings.contains("lost its role"), "{findings}");
}

/// Words of the refusal of an empty store.
const REFUSAL: [&str; 4] = [
    "the store is empty",
    "--etcd-prefix",
    "--new-epoch",
    "--new-deployment",
];

/// Checks that a start was refused because the store is empty.
fn is_refused(started: Result<()>) -> Result<()> {
    let Err(error) = started else {
        bail!("the start succeeded");
    };
    let error = format!("{error:#}");
    for words in REFUSAL {
        ensure!(error.contains(words), "{words}: {error}");
    }
    ensure!(!error.contains("panicked"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_and_a_wrong_prefix_are_refused_over_etcd_and_keep_the_admin_token() {
    let sandbox = Sandbox::new("lost-store").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let token_file = plane.data().join("admin-token");
    let token = std::fs::read(&token_file).unwrap();
    let prefix = ["--etcd-prefix", "/elsewhere"];
    is_refused(plane.restart_with(&prefix).await).unwrap();
    let with_epoch = [&prefix[..], &["--new-epoch"]].concat();
    is_refused(plane.restart_with(&with_epoch).await).unwrap();
    assert_eq!(std::fs::read(&token_file).unwrap(), token);
    assert!(etcd.list("/elsewhere").await.unwrap().is_empty());

    // The right setting helps, and the token works.
    plane.restart().await.unwrap();
    let cli = plane.cli().unwrap();
    cli.run(&["get", "organizations"]).await.unwrap();

    let other = Sandbox::new("lost-store-empty").unwrap();
    let empty = TestEtcdCluster::start(&other, 1).await.unwrap();
    plane.set_endpoints(&empty.endpoints());
    is_refused(plane.restart().await).unwrap();
    assert_eq!(std::fs::read(&token_file).unwrap(), token);

    plane.restart_with(&["--new-deployment"]).await.unwrap();
    assert_ne!(std::fs::read(&token_file).unwrap(), token);
    let cli = plane.cli().unwrap();
    cli.run(&["get", "organizations"]).await.unwrap();
    plane.restart().await.unwrap();
    cli.run(&["get", "organizations"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_file_is_refused_and_a_new_deployment_is_followed_by_the_proxy() {
    let sandbox = Sandbox::new("lost-file").unwrap();
    let mut up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token_file = up.data().join("admin-token");
    let token = std::fs::read(&token_file).unwrap();
    for _ in 0..3 {
        up.restart(&["--new-epoch"]).await.unwrap();
    }
    up.process().kill().unwrap();
    std::fs::remove_file(up.data().join("store.redb")).unwrap();
    // Twice: the first start leaves an empty file.
    for _ in 0..2 {
        is_refused(up.restart(&[]).await).unwrap();
    }
    assert_eq!(std::fs::read(&token_file).unwrap(), token);

    up.restart(&["--new-deployment"]).await.unwrap();
    let cli = up.cli().unwrap();
    eventually(
        "the proxy follows the new deployment",
        HANG_GUARD,
        || async {
            let proxies = cli.json(&["proxies"]).await?;
            ensure!(proxies[0]["acked"]["epoch"] == "5", "{proxies}");
            ensure!(proxies[0]["acked"] == proxies[0]["wanted"], "{proxies}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

/// Waits until a control plane tells that it does not follow its store, to probes, to `doctor` and in its metrics, and that a
/// write is refused with the cause.
async fn is_not_followed(
    plane: &ControlPlaneProcess,
    cli: &CommandLine,
    cause: &str,
) -> Result<()> {
    eventually("the readiness names the cause", HANG_GUARD, || async {
        let ready = plane.readyz().await?;
        ensure!(ready.starts_with("not ready"), "{ready}");
        ensure!(ready.contains(cause), "{ready}");
        Ok(())
    })
    .await?;
    let metrics = plane.metrics().await?;
    ensure!(metrics.contains("toolgate_store_refused 1"), "{metrics}");
    let findings = cli.output(&["doctor"]).await?;
    let findings = String::from_utf8_lossy(&findings.stdout).into_owned();
    for words in [cause, "once with `--new-epoch`"] {
        ensure!(findings.contains(words), "{words}: {findings}");
    }
    let create = ["gateway", "create", "late", "--server", "main"];
    let written = cli.output(&create).await?;
    let told = String::from_utf8_lossy(&written.stderr).into_owned();
    ensure!(!written.status.success(), "{told}");
    ensure!(told.contains("the store is not followed"), "{told}");
    ensure!(told.contains(cause), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_lost_under_control_planes_is_not_followed_and_proxies_serve_on() {
    let sandbox = Sandbox::new("lost-while-running").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let replica = plane.start_replica("replica").await.unwrap();
    let proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let token = cli.expose("main", server.url(), "single").await.unwrap();
    let main = Agent::modern(&proxy.url("main"), &token);
    becomes(&main, 200, HANG_GUARD).await.unwrap();
    let record = plane.data().join("deployment");
    eventually("the latest change is recorded", HANG_GUARD, || {
        is_recorded(&cli, &record)
    })
    .await
    .unwrap();

    etcd.delete("/").await.unwrap();
    let cause = "it was lost";
    is_not_followed(&plane, &cli, cause).await.unwrap();
    is_not_followed(&replica, &replica.cli().unwrap(), cause)
        .await
        .unwrap();
    // A control plane that knows of nothing begins a deployment in the store.
    let other = Sandbox::new("lost-while-running-other").unwrap();
    let stranger = ControlPlaneProcess::start(&other, "stranger", &etcd.endpoints())
        .await
        .unwrap();
    let their_cli = stranger.cli().unwrap();
    for number in 0..20 {
        let id = format!("o{number}");
        their_cli.run(&["token", "create", &id]).await.unwrap();
    }
    throughout("proxies serve on", Duration::from_secs(7), || {
        status_is(&main, 200)
    })
    .await
    .unwrap();
    is_not_followed(&plane, &cli, cause).await.unwrap();
    is_not_followed(&replica, &replica.cli().unwrap(), cause)
        .await
        .unwrap();
    // Nor is it followed after a restart.
    let refused = format!("{:#}", plane.restart().await.unwrap_err());
    for words in ["deployment", "--new-epoch", "--etcd-prefix"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    status_is(&main, 200).await.unwrap();
}

/// Starts `up` with the gateway `main` and two tokens for it. Returns an agent with the token that stays valid, then an
/// agent with the token that the test revokes.
async fn start_up_with_tokens(
    sandbox: &Sandbox,
    server: &UpstreamServer,
) -> Result<(ToolgateUp, Agent, Agent)> {
    let up = ToolgateUp::start(sandbox, &[]).await?;
    let lasting = up.expose("main", server.url(), "single").await?;
    let revoked = up.cli()?.token("revoked", &[]).await?;
    let agents = [lasting, revoked].map(|token| Agent::modern(&up.url("main"), &token));
    for agent in &agents {
        becomes(agent, 200, HANG_GUARD).await?;
    }
    let [lasting, revoked] = agents;
    Ok((up, lasting, revoked))
}

/// Stops `up` in order.
async fn stop(up: &mut ToolgateUp) -> Result<()> {
    up.process().signal("TERM")?;
    up.process().wait_for_exit(HANG_GUARD).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_file_of_up_is_adopted_on_request_and_revives_no_revoked_token() {
    let sandbox = Sandbox::new("restored-up").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let (mut up, lasting, revoked) = start_up_with_tokens(&sandbox, &server).await.unwrap();
    stop(&mut up).await.unwrap();
    let (file, copy) = (up.data().join("store.redb"), sandbox.join("store.copy"));
    std::fs::copy(&file, &copy).unwrap();
    up.restart(&[]).await.unwrap();
    let cli = up.cli().unwrap();
    cli.run(&["token", "revoke", "revoked"]).await.unwrap();
    becomes(&revoked, 401, HANG_GUARD).await.unwrap();
    stop(&mut up).await.unwrap();

    // As the page says: the file of the store, and nothing else.
    std::fs::copy(&copy, &file).unwrap();
    let refused = up.restart(&[]).await.unwrap_err();
    let refused = format!("{refused:#}");
    for words in ["deployment", "older copy", "--new-epoch"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    up.restart(&["--new-epoch"]).await.unwrap();
    becomes(&lasting, 200, HANG_GUARD).await.unwrap();
    let period = Duration::from_secs(3);
    throughout("with the new epoch", period, || status_is(&revoked, 401))
        .await
        .unwrap();
    up.restart(&[]).await.unwrap();
    throughout("after a restart", period, || status_is(&revoked, 401))
        .await
        .unwrap();
}
