//! A real etcd cluster of one or three members.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use etcd_client::{Client, CompactionOptions, ConnectOptions, DeleteOptions, GetOptions};

use crate::http_client::TestHttpClient;
use crate::network_link::{LinkCut, NetworkLink};
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::small_disk::SmallDisk;
use crate::{clock, external_programs, port};

const START_TIMEOUT: Duration = clock::HANG_GUARD;
/// Time for a read that needs a quorum.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct TestEtcdMember {
    name: String,
    arguments: Vec<String>,
    client: SocketAddr,
    peer: SocketAddr,
    process: TestProcess,
    /// Links of the clients and of the other members to this member, if the cluster has links.
    links: Option<(NetworkLink, NetworkLink)>,
    /// Disk of the data, if it is not in the sandbox.
    disk: Option<Arc<SmallDisk>>,
}

/// Part of the keys of the reserve.
const RESERVE: &str = "/reserve/";

/// Running cluster.
#[derive(Debug)]
pub struct TestEtcdCluster {
    members: Vec<TestEtcdMember>,
}

/// Addresses of a member before its start.
struct MemberPlan {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    links: Option<(NetworkLink, NetworkLink)>,
    disk: Option<Arc<SmallDisk>>,
}

impl MemberPlan {
    fn new(number: usize) -> Result<Self> {
        Ok(Self {
            name: format!("etcd{number}"),
            client: port::free()?,
            peer: port::free()?,
            links: None,
            disk: None,
        })
    }

    /// Addresses at which clients and other members reach this member.
    fn advertised(&self) -> (SocketAddr, SocketAddr) {
        let links = self.links.as_ref();
        links.map_or((self.client, self.peer), |(client, peer)| {
            (client.address(), peer.address())
        })
    }

    fn arguments(&self, folder: &Path, cluster: &str, flags: &[&str]) -> Vec<String> {
        let (client, peer) = self.advertised();
        let folder = self.disk.as_ref().map_or(folder, |disk| disk.folder());
        let folder = folder.join(&self.name).display().to_string();
        let own = [
            ("--name", self.name.clone()),
            ("--initial-cluster", cluster.to_owned()),
            ("--initial-cluster-state", "new".to_owned()),
            ("--log-level", "warn".to_owned()),
            ("--data-dir", folder),
            ("--listen-client-urls", format!("http://{}", self.client)),
            ("--advertise-client-urls", format!("http://{client}")),
            ("--listen-peer-urls", format!("http://{}", self.peer)),
            ("--initial-advertise-peer-urls", format!("http://{peer}")),
        ];
        let own = own
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        own.chain(flags.iter().map(|&flag| flag.to_owned()))
            .collect()
    }
}

fn start_process(
    name: &str,
    folder: &Path,
    arguments: &[String],
    disk: Option<&SmallDisk>,
) -> Result<TestProcess> {
    let mut command = Command::new(external_programs::program("etcd")?);
    command.args(arguments);
    if let Some(disk) = disk {
        command = disk.enter(&command)?;
    }
    TestProcess::start(name, folder, command)
}

fn run_to_success(mut command: Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

impl TestEtcdCluster {
    /// Starts `count` members and waits until all are healthy.
    pub async fn start(sandbox: &Sandbox, count: usize) -> Result<Self> {
        Self::start_with(sandbox, count, &[]).await
    }

    /// Starts `count` members with these flags and waits until all are healthy.
    pub async fn start_with(sandbox: &Sandbox, count: usize, flags: &[&str]) -> Result<Self> {
        let plan: Result<Vec<_>> = (0..count).map(MemberPlan::new).collect();
        Self::launch(sandbox, plan?, flags).await
    }

    /// Starts `count` members, the first of which has its data on this disk, and waits until all are healthy.
    pub async fn start_on(sandbox: &Sandbox, count: usize, disk: &Arc<SmallDisk>) -> Result<Self> {
        let plan: Result<Vec<_>> = (0..count).map(MemberPlan::new).collect();
        let mut plan = plan?;
        if let Some(first) = plan.first_mut() {
            first.disk = Some(Arc::clone(disk));
        }
        Self::launch(sandbox, plan, &[]).await
    }

    /// Restores a snapshot into a new cluster of one member, as an operator does, and starts it.
    pub async fn restore(sandbox: &Sandbox, snapshot: &Path) -> Result<Self> {
        let mut plan = MemberPlan::new(0)?;
        plan.name = "restored".to_owned();
        let url = format!("http://{}", plan.peer);
        let mut command = Command::new(external_programs::program("etcdctl")?);
        command.env("ETCDCTL_API", "3");
        command.args(["snapshot", "restore"]).arg(snapshot);
        command.args(["--name", &plan.name, "--data-dir"]);
        command.arg(sandbox.join(&plan.name));
        command.args(["--initial-cluster", &format!("{}={url}", plan.name)]);
        command.args(["--initial-advertise-peer-urls", &url]);
        run_to_success(command)?;
        Self::launch(sandbox, vec![plan], &[]).await
    }

    /// Saves a snapshot of the first member to a file, as an operator does.
    pub fn save(&self, snapshot: &Path) -> Result<()> {
        let mut command = Command::new(external_programs::program("etcdctl")?);
        let endpoint = format!("http://{}", self.member(0)?.client);
        command.env("ETCDCTL_API", "3");
        command.args(["--endpoints", &endpoint, "snapshot", "save"]);
        command.arg(snapshot);
        run_to_success(command)
    }

    /// Starts `count` members that clients and other members reach through links, and waits until all are healthy.
    pub async fn start_linked(sandbox: &Sandbox, count: usize) -> Result<Self> {
        let mut plan = Vec::new();
        for number in 0..count {
            let mut member = MemberPlan::new(number)?;
            let client = NetworkLink::start(member.client).await?;
            member.links = Some((client, NetworkLink::start(member.peer).await?));
            plan.push(member);
        }
        Self::launch(sandbox, plan, &[]).await
    }

    async fn launch(sandbox: &Sandbox, plan: Vec<MemberPlan>, flags: &[&str]) -> Result<Self> {
        let cluster: Vec<String> = plan
            .iter()
            .map(|member| format!("{}=http://{}", member.name, member.advertised().1))
            .collect();
        let cluster = cluster.join(",");
        let mut members = Vec::new();
        for member in plan {
            let arguments = member.arguments(sandbox.path(), &cluster, flags);
            let disk = member.disk.as_deref();
            let process = start_process(&member.name, sandbox.path(), &arguments, disk)?;
            members.push(TestEtcdMember {
                name: member.name,
                arguments,
                client: member.client,
                peer: member.peer,
                process,
                links: member.links,
                disk: member.disk,
            });
        }
        let cluster = Self { members };
        for number in 0..cluster.members.len() {
            cluster.healthy(number).await?;
        }
        Ok(cluster)
    }

    /// Waits until a member is healthy.
    pub async fn healthy(&self, number: usize) -> Result<()> {
        let http = TestHttpClient::default();
        let member = self.member(number)?;
        let url = format!("http://{}/health", member.client);
        let what = format!("{} is healthy", member.name);
        clock::eventually(&what, START_TIMEOUT, || async {
            let reply = http.get(&url).await?;
            if !reply.text().contains("\"true\"") {
                bail!("{} {}", reply.status, reply.text());
            }
            Ok(())
        })
        .await
        .with_context(|| format!("peers at {}", member.peer))
    }

    /// Client URLs, in the order of the members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        let address = |member: &TestEtcdMember| {
            let link = member.links.as_ref();
            link.map_or(member.client, |(client, _)| client.address())
        };
        self.members
            .iter()
            .map(|member| format!("http://{}", address(member)))
            .collect()
    }

    /// Address at which a member listens for clients, without its link.
    pub fn client_address(&self, number: usize) -> Result<SocketAddr> {
        Ok(self.member(number)?.client)
    }

    fn member(&self, number: usize) -> Result<&TestEtcdMember> {
        self.members
            .get(number)
            .with_context(|| format!("no member {number}"))
    }

    /// Suspends a member with SIGSTOP: its connections stay open without responses.
    pub fn freeze(&self, number: usize) -> Result<()> {
        self.member(number)?.process.signal("STOP")
    }

    /// Resumes a member.
    pub fn thaw(&self, number: usize) -> Result<()> {
        self.member(number)?.process.signal("CONT")
    }

    /// Kills a member, as a crash does.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        let member = self.members.get_mut(number);
        member.context("no such member")?.process.kill()
    }

    /// Starts a killed member again, on the same ports and data.
    pub fn restart(&mut self, sandbox: &Sandbox, number: usize) -> Result<()> {
        let member = self.members.get_mut(number).context("no such member")?;
        let (name, disk) = (&member.name, member.disk.as_deref());
        member.process = start_process(name, sandbox.path(), &member.arguments, disk)?;
        Ok(())
    }

    /// Waits until a member has ended by itself.
    pub async fn wait_for_end(&mut self, number: usize) -> Result<()> {
        let member = self.members.get_mut(number).context("no such member")?;
        member.process.wait_for_exit(START_TIMEOUT).await.map(drop)
    }

    /// Index of the member that leads, as the first member that answers tells it.
    pub async fn leader(&self) -> Result<usize> {
        for number in 0..self.members.len() {
            let Ok(client) = self.connect(number).await else {
                continue;
            };
            let Ok(status) = client.maintenance_client().status().await else {
                continue;
            };
            let own = status.header().map(etcd_client::ResponseHeader::member_id);
            if own == Some(status.leader()) {
                return Ok(number);
            }
        }
        bail!("no member leads")
    }

    /// Cuts a member off from its clients and from the other members.
    pub fn cut_off(&self, number: usize) -> Result<()> {
        let member = self.member(number)?;
        let (clients, _) = member.links.as_ref().context("a cluster without links")?;
        clients.cut(LinkCut::All);
        self.cut_off_from_peers(number)
    }

    /// Cuts a member off from the other members. Clients still reach it.
    pub fn cut_off_from_peers(&self, number: usize) -> Result<()> {
        let process = self.member(number)?.process.id();
        for (at, member) in self.members.iter().enumerate() {
            let (_, peers) = member.links.as_ref().context("a cluster without links")?;
            let cut = if at == number {
                LinkCut::All
            } else {
                LinkCut::OfProcess(process)
            };
            peers.cut(cut);
        }
        Ok(())
    }

    /// True if a member answers a read that needs a quorum.
    pub async fn has_quorum(&self, number: usize) -> bool {
        let read = async {
            self.connect(number)
                .await?
                .get("/", None)
                .await
                .map(drop)
                .map_err(anyhow::Error::from)
        };
        matches!(tokio::time::timeout(QUORUM_TIMEOUT, read).await, Ok(Ok(())))
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        for (clients, peers) in self
            .members
            .iter()
            .filter_map(|member| member.links.as_ref())
        {
            clients.cut(LinkCut::Nothing);
            peers.cut(LinkCut::Nothing);
        }
    }

    /// Connects directly to one member.
    pub async fn connect(&self, number: usize) -> Result<Client> {
        let options = ConnectOptions::new().with_timeout(clock::HANG_GUARD);
        let endpoint = format!("http://{}", self.member(number)?.client);
        Ok(Client::connect([endpoint], Some(options)).await?)
    }

    /// Writes bytes directly to the store.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<()> {
        self.connect(0).await?.put(key, value, None).await?;
        Ok(())
    }

    /// Deletes all keys with this prefix.
    pub async fn delete(&self, prefix: &str) -> Result<()> {
        let options = DeleteOptions::new().with_prefix();
        self.connect(0).await?.delete(prefix, Some(options)).await?;
        Ok(())
    }

    /// Compacts the history up to the current revision, which it returns.
    pub async fn compact(&self) -> Result<i64> {
        let mut client = self.connect(0).await?;
        let found = client.get("/", None).await?;
        let revision = found.header().map(etcd_client::ResponseHeader::revision);
        let revision = revision.context("no revision")?;
        let options = CompactionOptions::new().with_physical();
        client.compact(revision, Some(options)).await?;
        Ok(revision)
    }

    /// Number of range requests that the first member was sent.
    pub async fn range_requests(&self) -> Result<u64> {
        let url = format!("http://{}/metrics", self.client_address(0)?);
        let metrics = TestHttpClient::default().get(&url).await?.text();
        let line = metrics.lines().find(|line| {
            line.starts_with("grpc_server_started_total{") && line.contains("grpc_method=\"Range\"")
        });
        let count = line.and_then(|line| line.rsplit(' ').next());
        let count: f64 = count.context("no count of ranges")?.parse()?;
        Ok(count as u64)
    }

    /// Size of the file of a member in bytes, and its alarms.
    pub async fn size(&self, number: usize) -> Result<(u64, Vec<String>)> {
        let mut client = self.connect(number).await?.maintenance_client();
        let status = client.status().await?;
        Ok((u64::try_from(status.db_size())?, status.errors().to_vec()))
    }

    /// All values of keys with this prefix, in one request.
    pub async fn values(&self, prefix: &str) -> Result<Vec<Vec<u8>>> {
        let mut client = self.connect(0).await?;
        let options = GetOptions::new().with_prefix();
        let mut found = client.get(prefix, Some(options)).await?;
        let pairs = found.take_kvs().into_iter();
        Ok(pairs.map(|pair| pair.into_key_value().1).collect())
    }

    /// All keys with this prefix, and their values. The reserve of the store, which is large and no content, is left out
    /// unless the prefix names it.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut client = self.connect(0).await?;
        let options = GetOptions::new().with_prefix().with_keys_only();
        let found = client.get(prefix, Some(options)).await?;
        let mut pairs = Vec::new();
        for key in found.kvs().iter().map(etcd_client::KeyValue::key) {
            let name = String::from_utf8_lossy(key).into_owned();
            if name.contains(RESERVE) && !prefix.contains(RESERVE) {
                continue;
            }
            let mut found = client.get(key, None).await?;
            let value = found.take_kvs().pop().map(|pair| pair.into_key_value().1);
            pairs.extend(value.map(|value| (name, value)));
        }
        Ok(pairs)
    }
}
