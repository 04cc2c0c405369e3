//! Private etcd cluster for tests: on free loopback ports, in a temporary folder, stopped on drop.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpSocket;
use toolgate_control_core::port::{Store as _, StoreError};
use toolgate_store::{EtcdOptions, EtcdStore};

/// Upper bound of every wait that only guards against a hang: far above any time that is promised.
pub const HANG_GUARD: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Returns `figure` in `make drill`, which asserts what is promised within a time, and [`HANG_GUARD`] otherwise.
pub fn within(figure: Duration) -> Duration {
    match std::env::var_os("TOOLGATE_TEST_DRILL") {
        Some(_) => figure,
        None => HANG_GUARD,
    }
}

/// Repeats `operation` as long as the store is unavailable, as the callers of a store do: a cluster on a busy machine may
/// lose its leader. For operations that may run twice.
pub async fn until_available<T, F>(operation: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let repeated = async {
        loop {
            match operation().await {
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(RETRY_PAUSE).await,
                result => return result,
            }
        }
    };
    let result = tokio::time::timeout(HANG_GUARD, repeated).await;
    result.expect("the store becomes available")
}

pub struct EtcdCluster {
    members: Vec<EtcdMember>,
    /// Options of the stores; endpoints and namespace are filled in.
    options: EtcdOptions,
    _folder: tempfile::TempDir,
}

pub struct EtcdMember {
    url: String,
    child: Child,
}

impl EtcdCluster {
    /// Starts a cluster of `size` members and waits until they are ready.
    pub async fn start(size: usize, extra: &[&str]) -> Self {
        Self::start_as("http", EtcdOptions::default(), size, extra).await
    }

    /// Starts a cluster whose members serve `scheme` and are reached with `options`.
    pub async fn start_as(scheme: &str, options: EtcdOptions, size: usize, extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let reserved: Vec<TcpSocket> = (0..size * 2).map(|_| reserve_port()).collect();
        let port = |socket: &TcpSocket| socket.local_addr().unwrap().port();
        let ports: Vec<(u16, u16)> = reserved
            .chunks(2)
            .map(|it| (port(&it[0]), port(&it[1])))
            .collect();
        let peers: Vec<String> = (ports.iter().enumerate())
            .map(|(n, (_, peer))| format!("m{n}=http://127.0.0.1:{peer}"))
            .collect();
        let peers = peers.join(",");
        let member = |(n, (client, peer)): (usize, &(u16, u16))| {
            let url = format!("{scheme}://127.0.0.1:{client}");
            let peer = format!("http://127.0.0.1:{peer}");
            let log = std::fs::File::create(folder.path().join(format!("m{n}.log"))).unwrap();
            let child = Command::new(binary())
                .env_clear()
                .args(["--name", &format!("m{n}")])
                .arg("--data-dir")
                .arg(folder.path().join(format!("m{n}")))
                .args([
                    "--listen-client-urls",
                    &url,
                    "--advertise-client-urls",
                    &url,
                ])
                .args([
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                ])
                .args([
                    "--initial-cluster",
                    &peers,
                    "--initial-cluster-state",
                    "new",
                ])
                .args(extra)
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            EtcdMember { url, child }
        };
        let members = ports.iter().enumerate().map(member).collect();
        let cluster = Self {
            members,
            options,
            _folder: folder,
        };
        for member in 0..size {
            cluster.ready(member).await;
        }
        drop(reserved);
        cluster
    }

    async fn ready(&self, member: usize) {
        let store = self.store_at(&[member], "");
        let ready = async {
            while store.list("/", None, 1, None).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let ready = tokio::time::timeout(HANG_GUARD, ready).await;
        assert!(ready.is_ok(), "etcd member {member} did not become ready");
    }

    /// Returns a store over all members.
    pub fn store(&self, namespace: &str) -> Arc<EtcdStore> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.store_at(&all, namespace)
    }

    /// Returns a store over the given members, tried in this order.
    pub fn store_at(&self, members: &[usize], namespace: &str) -> Arc<EtcdStore> {
        let endpoints = members
            .iter()
            .map(|n| self.members[*n].url.clone())
            .collect();
        let options = EtcdOptions {
            endpoints,
            namespace: namespace.to_owned(),
            ..self.options.clone()
        };
        Arc::new(EtcdStore::new(options).unwrap())
    }

    /// Returns the client URL of a member.
    pub fn url(&self, member: usize) -> &str {
        &self.members[member].url
    }

    /// Suspends a member: it keeps its connections but does not respond.
    pub fn freeze(&self, member: usize) {
        let pid = self.members[member].child.id().to_string();
        let status = Command::new("kill").args(["-STOP", &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Returns the indexes of all members: the followers, then the leader.
    pub async fn followers_first(&self) -> Vec<usize> {
        let asking = async {
            loop {
                let mut order = Vec::new();
                let mut leaders = Vec::new();
                for (index, member) in self.members.iter().enumerate() {
                    let client = etcd_client::Client::connect([&member.url], None).await;
                    let Ok(mut client) = client.map(|client| client.maintenance_client()) else {
                        break;
                    };
                    let Ok(status) = client.status().await else {
                        break;
                    };
                    let own = status.header().map(etcd_client::ResponseHeader::member_id);
                    match own == Some(status.leader()) {
                        true => leaders.push(index),
                        false => order.push(index),
                    }
                }
                order.append(&mut leaders);
                if order.len() == self.members.len() {
                    return order;
                }
            }
        };
        let order = tokio::time::timeout(HANG_GUARD, asking).await;
        order.expect("every member tells who leads")
    }

    pub fn kill(&mut self, member: usize) {
        let child = &mut self.members[member].child;
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for EtcdMember {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TOOLGATE_ETCD") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("etcd"))
        .find(|it| it.is_file());
    found.expect("no etcd: install the package etcd-server, or set TOOLGATE_ETCD to the binary")
}

/// Reserves a port for a process that sets `SO_REUSEADDR`: a bound socket that does not listen keeps others from getting
/// the port, and not that process.
fn reserve_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket
}
