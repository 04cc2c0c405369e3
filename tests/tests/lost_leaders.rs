//! A control plane that is frozen while it leads, and a store that loses its quorum for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use toolgate_tests::{
    clock::{HANG_GUARD, eventually, is_drill, now, throughout, within},
    etcd_cluster::TestEtcdCluster,
    http_client::TestHttpClient,
    sandbox::Sandbox,
    scripted_server::{ScriptedAnswer, ScriptedServer, discovered, method},
    toolgate::{CommandLine, ControlPlaneProcess},
};

/// Limit until writes go on after a quorum is back.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of requests to all members of etcd per second.
const MAX_RATE: f64 = 3.0;

/// Modern server whose only tool is named by the number of the list. The first list is held back.
#[derive(Clone)]
struct HeldLists {
    lists: Arc<AtomicUsize>,
    first: Arc<Semaphore>,
}

impl HeldLists {
    async fn answer(self, message: Value) -> ScriptedAnswer {
        match method(&message) {
            "server/discover" => discovered(&json!({"tools": {}})),
            "tools/list" => {
                let number = self.lists.fetch_add(1, Ordering::SeqCst);
                if number == 0 {
                    drop(self.first.acquire().await);
                }
                let tool =
                    json!({"name": format!("list-{number}"), "inputSchema": {"type": "object"}});
                ScriptedAnswer::Result(json!({"tools": [tool], "ttlMs": 600_000}))
            }
            _ => ScriptedAnswer::Accepted,
        }
    }
}

/// Names of the tools of the server `held`, as the store has them.
async fn tools(plane: &ControlPlaneProcess) -> Result<Vec<String>> {
    let catalogue = plane.admin_client()?.catalogue("held").await?;
    Ok(catalogue.tools.into_iter().map(|tool| tool.name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_beyond_its_lease_writes_nothing_of_what_it_had_begun() {
    let sandbox = Sandbox::new("frozen-leader").unwrap();
    let held = HeldLists {
        lists: Arc::default(),
        first: Arc::new(Semaphore::new(0)),
    };
    let lists = held.clone();
    let answer = move |message| lists.clone().answer(message);
    let server = ScriptedServer::start(answer).await.unwrap();
    let url = server.url();

    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let flags = ["--log", "info"];
    let mut first = ControlPlaneProcess::start_with(&sandbox, "plane", &etcd.endpoints(), &flags)
        .await
        .unwrap();
    let leads = "this control plane probes the servers";
    eventually("the first one leads", HANG_GUARD, || async {
        ensure!(first.log().contains(leads), "not yet");
        Ok(())
    })
    .await
    .unwrap();
    let second = first.start_replica("replica").await.unwrap();
    let cli = second.cli().unwrap();
    let add = ["server", "add", "held", "--url", &url, "--no-wait"];
    cli.run(&add).await.unwrap();
    eventually("the leader reads the tools", HANG_GUARD, || async {
        ensure!(held.lists.load(Ordering::SeqCst) == 1, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    first.process().signal("STOP").unwrap();
    // The lease lasts ten seconds.
    eventually("the other one reads them", HANG_GUARD, || async {
        let tools = tools(&second).await?;
        ensure!(tools.len() == 1 && tools != ["list-0"], "{tools:?}");
        Ok(())
    })
    .await
    .unwrap();
    held.first.add_permits(1);
    first.process().signal("CONT").unwrap();
    let told = eventually("the first one has noticed", HANG_GUARD, || async {
        let log = first.log();
        ensure!(log.contains("no longer probes the servers"), "{log}");
        Ok(log)
    })
    .await;
    told.unwrap();
    throughout("the definitions stay", Duration::from_secs(3), || async {
        let tools = tools(&second).await?;
        ensure!(tools.len() == 1 && tools != ["list-0"], "{tools:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Number of requests that the members of etcd have been sent.
async fn requests(etcd: &TestEtcdCluster) -> Result<f64> {
    let mut all = 0.0;
    for member in 0..3 {
        let url = format!("http://{}/metrics", etcd.client_address(member)?);
        let metrics = TestHttpClient::default().get(&url).await?.text();
        for line in metrics.lines() {
            if line.starts_with("grpc_server_started_total{") {
                let count = line.rsplit(' ').next().context("no count")?;
                all += count.parse::<f64>()?;
            }
        }
    }
    Ok(all)
}

/// Waits until a token is created. Each attempt has a name of its own: a write whose answer was lost may have been made.
async fn create_token(cli: &CommandLine, name: &str, within: Duration) -> Result<()> {
    let attempts = AtomicUsize::new(0);
    eventually("writes go on", within, || async {
        let attempt = attempts.fetch_add(1, Ordering::SeqCst);
        let name = format!("{name}-{attempt}");
        cli.run(&["token", "create", &name]).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_without_quorum_asks_etcd_seldom_and_its_memory_stays() {
    let period = Duration::from_secs(if is_drill() { 3_600 } else { 15 });
    let sandbox = Sandbox::new("long-quorum").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    cli.run(&["token", "create", "before"]).await.unwrap();
    etcd.freeze(0).unwrap();
    etcd.freeze(1).unwrap();
    // The loss is noticed first.
    tokio::time::sleep(Duration::from_secs(5)).await;
    etcd.thaw(0).unwrap();
    etcd.thaw(1).unwrap();
    create_token(&cli, "between", HANG_GUARD).await.unwrap();
    let before = requests(&etcd).await.unwrap();
    let memory = plane.process().resident().unwrap();
    etcd.freeze(0).unwrap();
    etcd.freeze(1).unwrap();
    tokio::time::sleep(period).await;
    let after_memory = plane.process().resident().unwrap();
    cli.json(&["get", "tokens"]).await.unwrap();
    etcd.thaw(0).unwrap();
    etcd.thaw(1).unwrap();
    let start = now();
    let after = requests(&etcd).await.unwrap();
    create_token(&cli, "after", within(RECOVERY_TIMEOUT))
        .await
        .unwrap();
    let rate = (after - before) / period.as_secs_f64();
    println!(
        "{rate:.2} requests per second; memory {} KiB, then {} KiB; writes {:?} after",
        memory / 1024,
        after_memory / 1024,
        start.elapsed()
    );
    assert!(rate <= MAX_RATE, "{rate} requests per second");
    if is_drill() {
        assert!(
            after_memory < memory + memory / 20,
            "{memory} {after_memory}"
        );
    }
}
