//! Members of etcd that the network cuts off, and a history that is compacted while a control plane is cut off from etcd:
//! every change reaches the proxies.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use toolgate_tests::{
    admin_client::AdminClient,
    agent::Agent,
    clock::{HANG_GUARD, eventually, is_drill, now, within},
    etcd_cluster::TestEtcdCluster,
    network_link::{LinkCut, NetworkLink},
    sandbox::Sandbox,
    toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess},
    upstream_server::UpstreamServer,
};

/// Limit until every change is served although a member of etcd is cut off.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(15);
/// Limit until a proxy serves the state after a compaction.
const RELIST_TIMEOUT: Duration = Duration::from_secs(10);
/// Changes beside each member that is cut off.
const CHANGES: usize = 10;

/// Two control planes, of which one feeds a proxy, and the other one writes.
struct LinkedFleet {
    proxy: ProxyProcess,
    writer: AdminClient,
    token: String,
    planes: [ControlPlaneProcess; 2],
    _server: UpstreamServer,
}

impl LinkedFleet {
    /// Starts the control plane that writes over `endpoints`, and that of the proxy over `of_feeder`.
    async fn start(sandbox: &Sandbox, endpoints: &[String], of_feeder: &[String]) -> Result<Self> {
        let server = UpstreamServer::fixture(sandbox, "fixture", &[]).await?;
        let writing = ControlPlaneProcess::start(sandbox, "writer", endpoints).await?;
        let feeding = writing.start_replica_over("feeder", of_feeder).await?;
        let proxy = ProxyProcess::join(sandbox, "proxy-1", &feeding).await?;
        let cli = writing.cli()?;
        cli.expose("main", server.url(), "single").await?;
        let token = cli.token("everywhere", &[]).await?;
        let fleet = Self {
            proxy,
            writer: writing.admin_client()?,
            token,
            planes: [writing, feeding],
            _server: server,
        };
        fleet.serves("main", HANG_GUARD).await?;
        Ok(fleet)
    }

    fn agent(&self, gateway: &str) -> Agent {
        Agent::modern(&self.proxy.url(gateway), &self.token)
    }

    async fn serves(&self, gateway: &str, most: Duration) -> Result<()> {
        let agent = self.agent(gateway);
        let what = format!("{gateway} is served");
        eventually(&what, most, || async { agent.tools().await.map(drop) }).await
    }

    async fn denies(&self, gateway: &str, most: Duration) -> Result<()> {
        let agent = self.agent(gateway);
        let what = format!("{gateway} is gone");
        eventually(&what, most, || async {
            let reply = agent.request("tools/list", json!({})).await?;
            ensure!(reply.status.as_u16() == 404, "still {}", reply.status);
            Ok(())
        })
        .await
    }

    /// Creates gateways at the control plane that writes, and waits until the proxy serves all of them. Returns the time.
    async fn write_and_serve(&self, name: &str, figure: Duration) -> Result<Duration> {
        let (start, most) = (now(), within(figure));
        for number in 0..CHANGES {
            let id = format!("{name}-{number}");
            self.writer.create_gateway_surely(&id, "main").await?;
        }
        for number in 0..CHANGES {
            let left = most.saturating_sub(start.elapsed());
            self.serves(&format!("{name}-{number}"), left).await?;
        }
        Ok(start.elapsed())
    }
}

/// Cuts off each member of a cluster in turn with `cut`, and reconnects it. Checks that changes are served that are written
/// during the cut and after it.
async fn check_each_member(
    name: &str,
    cut: impl Fn(&TestEtcdCluster, usize) -> Result<()>,
) -> Result<String> {
    let sandbox = Sandbox::new(name)?;
    let etcd = TestEtcdCluster::start_linked(&sandbox, 3).await?;
    let endpoints = etcd.endpoints();
    let fleet = LinkedFleet::start(&sandbox, &endpoints, &endpoints).await?;
    let mut times = String::new();
    for member in 0..3 {
        cut(&etcd, member)?;
        let gateways = format!("without-{member}");
        let took = fleet.write_and_serve(&gateways, FAILOVER_TIMEOUT).await?;
        let _ = writeln!(
            times,
            "{name}, member {member}: all was served after {took:?}"
        );
        ensure!(
            !etcd.has_quorum(member).await,
            "member {member} is not cut off"
        );
        etcd.heal();
        etcd.healthy(member).await?;
        let gateways = format!("again-with-{member}");
        fleet.write_and_serve(&gateways, FAILOVER_TIMEOUT).await?;
    }
    Ok(times)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_missed_while_the_network_cuts_off_any_member() {
    let times = check_each_member("cut-off", |etcd, member| etcd.cut_off(member)).await;
    println!("{}", times.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_answers_but_lost_its_quorum_is_left() {
    let cut = |etcd: &TestEtcdCluster, member| etcd.cut_off_from_peers(member);
    let times = check_each_member("no-quorum", cut).await;
    println!("{}", times.unwrap());
}

fn gateways(numbers: std::ops::Range<usize>) -> String {
    let mut documents = String::new();
    for number in numbers {
        let _ = write!(
            documents,
            "---\napiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: gateway-{number}}}\n\
             spec: {{bindings: [{{server: main, tools: [echo]}}]}}\n"
        );
    }
    documents
}

async fn apply(cli: &CommandLine, sandbox: &Sandbox, documents: &str) -> Result<()> {
    let file = sandbox.join("gateways.yaml");
    std::fs::write(&file, documents)?;
    let file = file.display().to_string();
    cli.run(&["apply", "-f", &file]).await.map(drop)
}

/// All gateways, as a control plane has them in memory.
async fn objects(plane: &ControlPlaneProcess) -> Result<Value> {
    plane.cli()?.json(&["get", "gateways"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_while_a_control_plane_is_cut_off_loses_no_write_and_no_deletion() {
    let (before, written, deleted) = if is_drill() {
        (50, 250, 50)
    } else {
        (20, 60, 20)
    };
    let sandbox = Sandbox::new("compacted").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let link = NetworkLink::start(etcd.client_address(0).unwrap())
        .await
        .unwrap();
    let through = [format!("http://{}", link.address())];
    let fleet = LinkedFleet::start(&sandbox, &etcd.endpoints(), &through)
        .await
        .unwrap();
    let [writer, feeder] = &fleet.planes;
    let cli = writer.cli().unwrap();
    apply(&cli, &sandbox, &gateways(0..before)).await.unwrap();
    let last = format!("gateway-{}", before - 1);
    fleet.serves(&last, HANG_GUARD).await.unwrap();

    link.cut(LinkCut::All);
    apply(&cli, &sandbox, &gateways(before..written))
        .await
        .unwrap();
    // Half of them are served by the proxy, and the other half is new to it.
    let gone = before - deleted / 2..before + deleted / 2;
    let names: Vec<String> = gone.clone().map(|it| format!("gateway-{it}")).collect();
    let mut delete = vec!["delete", "gateway"];
    delete.extend(names.iter().map(String::as_str));
    cli.run(&delete).await.unwrap();
    println!("compacted at {}", etcd.compact().await.unwrap());
    let start = now();
    link.cut(LinkCut::Nothing);

    let most = within(RELIST_TIMEOUT);
    for number in 0..written {
        let gateway = format!("gateway-{number}");
        let left = most.saturating_sub(start.elapsed());
        if gone.contains(&number) {
            fleet.denies(&gateway, left).await.unwrap();
        } else {
            fleet.serves(&gateway, left).await.unwrap();
        }
    }
    println!("all was served and gone after {:?}", start.elapsed());
    let (should, is) = (
        objects(writer).await.unwrap(),
        objects(feeder).await.unwrap(),
    );
    assert_eq!(is, should);
    let count = should.as_array().map(Vec::len);
    assert_eq!(count, Some(written - deleted + 1));
}
