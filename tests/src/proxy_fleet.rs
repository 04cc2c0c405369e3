//! A fleet: the proxies of one control plane with a real etcd, and haproxy, which sends each request to the next
//! proxy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::agent::Agent;
use crate::clock::{HANG_GUARD, eventually};
use crate::etcd_cluster::TestEtcdCluster;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::toolgate::{ControlPlaneProcess, ProxyProcess};
use crate::upstream_server::UpstreamServer;
use crate::{external_programs, port};

/// Proxies, three by default, that serve the gateway `main` before one fixture.
#[derive(Debug)]
pub struct ProxyFleet {
    /// All proxies; each is a peer of the others.
    pub proxies: Vec<ProxyProcess>,
    /// Server behind the gateway.
    pub server: UpstreamServer,
    /// Token with access to every gateway.
    pub token: String,
    /// Control plane of the fleet.
    pub plane: ControlPlaneProcess,
    /// Store of the fleet.
    pub etcd: TestEtcdCluster,
    sandbox: Sandbox,
}

impl ProxyFleet {
    /// Starts all processes, the fixture with these flags, and waits until every proxy serves.
    pub async fn start(name: &str, fixture: &[&str]) -> Result<Self> {
        Self::start_with(name, fixture, &[]).await
    }

    /// Same as [`Self::start`], with these flags of each proxy.
    pub async fn start_with(name: &str, fixture: &[&str], flags: &[&str]) -> Result<Self> {
        Self::launch(name, 3, fixture, flags).await
    }

    /// Same as [`Self::start`], with this number of proxies and a fixture without flags.
    pub async fn start_sized(name: &str, proxies: usize) -> Result<Self> {
        Self::launch(name, proxies, &[], &[]).await
    }

    async fn launch(name: &str, count: usize, fixture: &[&str], flags: &[&str]) -> Result<Self> {
        let sandbox = Sandbox::new(name)?;
        let etcd = TestEtcdCluster::start(&sandbox, 1).await?;
        let server = UpstreamServer::fixture(&sandbox, "fixture", fixture).await?;
        let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints()).await?;
        let mut proxies = Vec::new();
        for number in 1..=count {
            let name = format!("proxy-{number}");
            proxies.push(ProxyProcess::join_with(&sandbox, &name, &plane, flags).await?);
        }
        let cli = plane.cli()?;
        cli.expose("main", server.url(), "single").await?;
        let token = cli.token("everywhere", &[]).await?;
        for proxy in &proxies {
            let agent = Agent::modern(&proxy.url("main"), &token);
            eventually("every proxy serves", HANG_GUARD, || {
                agent.echo("echo", "hello")
            })
            .await?;
        }
        Ok(Self {
            proxies,
            server,
            token,
            plane,
            etcd,
            sandbox,
        })
    }

    /// Opens a session on the first proxy and returns one agent per proxy for it.
    pub async fn open_session(&self) -> Result<Vec<Agent>> {
        let home = Agent::legacy(&self.url(0), &self.token).await?;
        let urls = (0..self.proxies.len()).map(|at| self.url(at));
        Ok(urls.map(|url| home.at_url(&url)).collect())
    }

    /// Folder for files of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.sandbox.path()
    }

    /// Endpoint of the gateway on the proxy with this index.
    #[must_use]
    pub fn url(&self, at: usize) -> String {
        let proxy = self.proxies.get(at);
        proxy.map_or_else(String::new, |proxy| proxy.url("main"))
    }

    /// Starts haproxy in front of the proxies: each request goes to the next ready proxy, regardless of its client. It asks
    /// each proxy twice a second if it is ready, and repeats only what could not be sent.
    pub async fn start_load_balancer(&self) -> Result<LoadBalancer> {
        self.start_load_balancer_with("option http-keep-alive")
            .await
    }

    /// Same as [`Self::start_load_balancer`], with a new connection to a proxy for each request: a request on a connection
    /// that ends before its answer is not repeated, so that the end of a proxy could fail a request that it has not read.
    pub async fn start_load_balancer_without_reuse(&self) -> Result<LoadBalancer> {
        self.start_load_balancer_with("option http-server-close")
            .await
    }

    async fn start_load_balancer_with(&self, connections: &str) -> Result<LoadBalancer> {
        let address = port::free()?;
        let mut config = format!(
            "global\n  log stdout format raw local0\n\
             defaults\n  mode http\n  log global\n  option httplog\n  option redispatch\n  {connections}\n  retries 1\n  \
             retry-on conn-failure\n  timeout connect 5s\n  timeout client 5m\n  timeout server 5m\n\
             frontend mcp\n  bind {address}\n  default_backend proxies\n\
             backend proxies\n  balance roundrobin\n  option httpchk\n  \
             http-check send meth GET uri /readyz\n"
        );
        for (at, proxy) in self.proxies.iter().enumerate() {
            let (number, port) = (at + 1, proxy.private().port());
            let check = format!("check port {port} inter 500ms fall 2 rise 1");
            config += &format!("  server proxy-{number} {} {check}\n", proxy.mcp());
        }
        let file = self.sandbox.join("haproxy.cfg");
        std::fs::write(&file, config)?;
        let mut command = Command::new(external_programs::program("haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        let process = TestProcess::start("haproxy", self.sandbox.path(), command)?;
        let agent = Agent::modern(&format!("http://{address}/v1/mcp/main"), &self.token);
        eventually("haproxy serves", HANG_GUARD, || agent.tools())
            .await
            .with_context(|| process.stderr())?;
        Ok(LoadBalancer { process, address })
    }
}

/// Running haproxy.
#[derive(Debug)]
pub struct LoadBalancer {
    process: TestProcess,
    address: SocketAddr,
}

impl LoadBalancer {
    /// Listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of requests sent to the proxy with this number, starting at 1.
    #[must_use]
    pub fn requests(&self, proxy: usize) -> usize {
        let name = format!(" proxies/proxy-{proxy} ");
        let log = self.process.stdout();
        log.lines().filter(|line| line.contains(&name)).count()
    }
}
