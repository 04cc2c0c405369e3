//! A real etcd cluster of one or three members.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use etcd_client::{Client, ConnectOptions, GetOptions};

use crate::http_client::TestHttpClient;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::{clock, external_programs, port};

const START_TIMEOUT: Duration = clock::HANG_GUARD;

#[derive(Debug)]
struct TestEtcdMember {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    process: TestProcess,
}

/// Part of the keys of the reserve.
const RESERVE: &str = "/reserve/";

/// Running cluster.
#[derive(Debug)]
pub struct TestEtcdCluster {
    members: Vec<TestEtcdMember>,
}

impl TestEtcdCluster {
    /// Starts `count` members and waits until all are healthy.
    pub async fn start(sandbox: &Sandbox, count: usize) -> Result<Self> {
        Self::start_with(sandbox, count, &[]).await
    }

    /// Starts `count` members with these flags and waits until all are healthy.
    pub async fn start_with(sandbox: &Sandbox, count: usize, flags: &[&str]) -> Result<Self> {
        let mut plan = Vec::new();
        for number in 0..count {
            plan.push((format!("etcd{number}"), port::free()?, port::free()?));
        }
        let cluster: Vec<String> = plan
            .iter()
            .map(|(name, _, peer)| format!("{name}=http://{peer}"))
            .collect();
        let cluster = cluster.join(",");
        let mut members = Vec::new();
        for (name, client, peer) in plan {
            let mut command = Command::new(external_programs::program("etcd")?);
            command
                .args(["--name", &name, "--initial-cluster", &cluster])
                .args(["--initial-cluster-state", "new", "--log-level", "warn"])
                .args(flags)
                .arg("--data-dir")
                .arg(sandbox.join(&name))
                .args(["--listen-client-urls", &format!("http://{client}")])
                .args(["--advertise-client-urls", &format!("http://{client}")])
                .args(["--listen-peer-urls", &format!("http://{peer}")])
                .args(["--initial-advertise-peer-urls", &format!("http://{peer}")]);
            let process = TestProcess::start(&name, sandbox.path(), command)?;
            members.push(TestEtcdMember {
                name,
                client,
                peer,
                process,
            });
        }
        let http = TestHttpClient::default();
        for member in &members {
            let url = format!("http://{}/health", member.client);
            clock::eventually(
                &format!("{} is healthy", member.name),
                START_TIMEOUT,
                || async {
                    let reply = http.get(&url).await?;
                    if !reply.text().contains("\"true\"") {
                        bail!("{} {}", reply.status, reply.text());
                    }
                    Ok(())
                },
            )
            .await
            .with_context(|| format!("peers at {}", member.peer))?;
        }
        Ok(Self { members })
    }

    /// Client URLs, in the order of the members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| format!("http://{}", member.client))
            .collect()
    }

    /// Saves a snapshot of a member, as a backup does.
    pub async fn save(&self, number: usize, file: &Path) -> Result<()> {
        let mut maintenance = self.connect(number).await?.maintenance_client();
        let mut snapshot = maintenance.snapshot().await?;
        let mut bytes = Vec::new();
        while let Some(piece) = snapshot.message().await? {
            bytes.extend_from_slice(piece.blob());
        }
        std::fs::write(file, bytes)?;
        Ok(())
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
