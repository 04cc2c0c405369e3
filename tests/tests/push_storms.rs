//! Many proxies of one control plane, simulated: all streams that are lost at once, a proxy that does not read, and a proxy
//! that refuses a resource.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use toolgate_tests::{
    clock::{HANG_GUARD, eventually, is_drill, now, within},
    etcd_cluster::TestEtcdCluster,
    push_client::{SimulatedProxy, SimulatedStream},
    sandbox::Sandbox,
    toolgate::ControlPlaneProcess,
};

/// Limit until all proxies are in sync after the control plane is back.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum ratio of the peak memory of a restarted control plane, to which all proxies connect again, to the peak memory
/// before the restart. The second figure is asserted by `make drill`.
const MAX_PEAK: [f64; 2] = [1.5, 1.2];
/// Growth of the memory of a control plane beside a proxy that does not read, at most, relative to what it has before. One
/// snapshot is far less.
const MAX_GROWTH: f64 = 0.25;
/// Limit until the admin API shows a refused resource.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates tokens, which are resources of their own in the configuration of every proxy.
async fn create_tokens(
    plane: &ControlPlaneProcess,
    sandbox: &Sandbox,
    numbers: std::ops::Range<usize>,
) -> Result<()> {
    let mut documents = String::new();
    for number in numbers {
        let _ = write!(
            documents,
            "---\napiVersion: toolgate/v1\nkind: Token\nmetadata: {{name: token-{number}}}\nspec: {{user: user-{number}}}\n"
        );
    }
    let file = sandbox.join("tokens.yaml");
    std::fs::write(&file, documents)?;
    let file = file.display().to_string();
    let mut command = plane.cli()?.command(&["apply", "-f", &file])?;
    let output = tokio::time::timeout(HANG_GUARD * 5, command.output()).await??;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// Proxies with their streams.
struct SimulatedFleet {
    members: Vec<(SimulatedProxy, Option<SimulatedStream>)>,
}

impl SimulatedFleet {
    async fn join(plane: &ControlPlaneProcess, count: usize) -> Result<Self> {
        let admin = plane.admin_client()?;
        let joining = (0..count).map(|number| {
            let admin = admin.clone();
            async move {
                let token = admin.join_token().await?;
                let id = format!("simulated-{number}");
                let proxy = SimulatedProxy::join(&id, plane.push(), &token).await?;
                anyhow::Ok((proxy, None))
            }
        });
        let members = try_join_all(joining).await?;
        Ok(Self { members })
    }

    /// Connects the proxies that have no stream, all at once, and waits until each holds this many resources. Returns the
    /// numbers of resources that they were sent.
    async fn sync(&mut self, resources: usize) -> Result<Vec<usize>> {
        let syncing = self.members.iter_mut().map(|(proxy, stream)| async move {
            let mut open = match stream.take() {
                Some(open) => open,
                None => eventually("a stream is open", HANG_GUARD, || proxy.connect()).await?,
            };
            let mut sent = 0;
            while proxy.resources() < resources {
                sent += proxy.accept(&mut open).await?.puts.len();
            }
            *stream = Some(open);
            anyhow::Ok(sent)
        });
        let all = tokio::time::timeout(HANG_GUARD * 2, try_join_all(syncing)).await;
        all.context("not in sync")?
    }

    fn disconnect(&mut self) {
        for (_, stream) in &mut self.members {
            *stream = None;
        }
    }
}

/// Number of resources of a deployment in which nothing has been created yet.
async fn resources_of_new(plane: &ControlPlaneProcess) -> Result<usize> {
    let token = plane.admin_client()?.join_token().await?;
    let mut proxy = SimulatedProxy::join("first", plane.push(), &token).await?;
    let mut stream = proxy.connect().await?;
    proxy.accept(&mut stream).await?;
    Ok(proxy.resources())
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_all_reconnect_at_once_are_sent_only_what_they_lack() {
    const LATE: usize = 3;
    let (proxies, tokens) = if is_drill() { (200, 10_000) } else { (40, 200) };
    let sandbox = Sandbox::new("storm").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let other = plane.start_replica("other").await.unwrap();
    let all = resources_of_new(&plane).await.unwrap() + tokens;
    create_tokens(&plane, &sandbox, 0..tokens).await.unwrap();
    let mut fleet = SimulatedFleet::join(&plane, proxies).await.unwrap();
    let sent = fleet.sync(all).await.unwrap();
    assert_eq!(sent, vec![all; proxies]);
    let peak_before = plane.process().peak().unwrap();

    plane.kill().unwrap();
    fleet.disconnect();
    create_tokens(&other, &sandbox, tokens..tokens + LATE)
        .await
        .unwrap();
    let before = etcd.range_requests().await.unwrap();
    // All streams are lost, and all proxies connect while the control plane starts.
    let restarting = async {
        plane.restart().await?;
        anyhow::Ok(now())
    };
    let (started, synced) = tokio::join!(restarting, fleet.sync(all + LATE));
    let (took, sent) = (started.unwrap().elapsed(), synced.unwrap());
    assert_eq!(sent, vec![LATE; proxies], "only what they lack");
    let listed = etcd.range_requests().await.unwrap() - before;
    let memory = plane.process().resident().unwrap();
    let peak = plane.process().peak().unwrap();
    println!(
        "{proxies} proxies in sync {took:?} after the start; {listed} range requests; memory {} KiB, at most {} KiB, and at \
         most {} KiB before",
        memory / 1024,
        peak / 1024,
        peak_before / 1024
    );
    let most = peak_before as f64 * MAX_PEAK[usize::from(is_drill())];
    assert!(peak as f64 <= most, "{peak} bytes, {peak_before} before");
    assert!(
        !is_drill() || took <= SYNC_TIMEOUT,
        "in sync after {took:?}"
    );
    // A listing has pages of at most 60 entries. A request per proxy would show.
    let pages = (all / 60 + 30) as u64;
    assert!(
        listed < pages + proxies as u64 / 2,
        "{listed} range requests for {proxies} proxies"
    );
}

/// Creates tokens one at a time. Returns the middle of the times from the answer to a write until every proxy of the fleet
/// holds it.
async fn measure_changes(
    plane: &ControlPlaneProcess,
    fleet: &mut SimulatedFleet,
    held: usize,
    name: &str,
    changes: usize,
) -> Result<Duration> {
    let admin = plane.admin_client()?;
    let mut times = Vec::new();
    for change in 0..changes {
        admin.create_token(&format!("{name}-{change}")).await?;
        let start = now();
        let sent = fleet.sync(held + change + 1).await?;
        ensure!(
            sent.iter().all(|sent| *sent == 1),
            "{name} {change}: {sent:?}"
        );
        times.push(start.elapsed());
    }
    times.sort();
    times.get(changes / 2).copied().context("no change")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_read_its_pushes_delays_no_other() {
    const OTHERS: usize = 9;
    // The first change is larger than the window of a stream that is not read.
    const FIRST: usize = 500;
    let changes = if is_drill() { 100 } else { 10 };
    let sandbox = Sandbox::new("slow-proxy").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let mut plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let mut all = resources_of_new(&plane).await.unwrap();
    let mut fleet = SimulatedFleet::join(&plane, OTHERS + 1).await.unwrap();
    fleet.sync(all).await.unwrap();
    let before = measure_changes(&plane, &mut fleet, all, "before", changes)
        .await
        .unwrap();
    all += changes;
    let (mut slow, stream) = fleet.members.pop().unwrap();
    let mut stream = stream.unwrap();
    create_tokens(&plane, &sandbox, 0..FIRST).await.unwrap();
    all += FIRST;
    fleet.sync(all).await.unwrap();
    let memory = plane.process().resident().unwrap();
    let beside = measure_changes(&plane, &mut fleet, all, "beside", changes)
        .await
        .unwrap();
    all += changes;
    let grown = plane.process().resident().unwrap().saturating_sub(memory);
    // It then gets what was in flight, and the latest version without those between.
    let mut pushes = 0;
    while slow.resources() < all {
        slow.accept(&mut stream).await.unwrap();
        pushes += 1;
    }
    println!(
        "a change on {OTHERS} proxies: {before:?}, beside a proxy that does not read {beside:?}; {pushes} pushes for it; memory \
         grew by {} KiB",
        grown / 1024
    );
    assert!(pushes <= 3, "{pushes} pushes for {changes} changes");
    assert!(
        grown as f64 <= memory as f64 * MAX_GROWTH,
        "{grown} bytes more than {memory}"
    );
    let most = before * 12 / 10 + Duration::from_millis(2);
    assert!(
        !is_drill() || beside <= most,
        "{beside:?} instead of {before:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_a_proxy_refuses_is_shown_by_the_admin_api_with_its_reason() {
    let sandbox = Sandbox::new("refused").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let other = plane.start_replica("other").await.unwrap();
    let all = resources_of_new(&plane).await.unwrap();
    let mut fleet = SimulatedFleet::join(&plane, 1).await.unwrap();
    fleet.sync(all).await.unwrap();
    create_tokens(&plane, &sandbox, 0..1).await.unwrap();
    let (_, stream) = &mut fleet.members[0];
    let stream = stream.as_mut().unwrap();
    let push = stream.next().await.unwrap();
    let start = now();
    stream
        .refuse(&push, "token-0", "its hash is too short")
        .await
        .unwrap();
    for shown_by in [&plane, &other] {
        let admin = shown_by.admin_client().unwrap();
        let left = within(REPORT_TIMEOUT).saturating_sub(start.elapsed());
        eventually("the refusal is shown", left, || async {
            let proxies = admin.proxies().await?;
            let refusals: Vec<_> = proxies.iter().flat_map(|it| &it.refusals).collect();
            ensure!(refusals.len() == 1, "{proxies:?}");
            ensure!(
                refusals[0].resource == "token/default/token-0",
                "{refusals:?}"
            );
            ensure!(
                refusals[0].reason == "its hash is too short",
                "{refusals:?}"
            );
            Ok(())
        })
        .await
        .unwrap();
    }
    println!("shown after {:?}", start.elapsed());
}
