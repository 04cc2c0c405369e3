//! A fleet: three proxies of one control plane over a real etcd, and haproxy, which sends every request to the next.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::agent::Agent;
use crate::clock::eventually;
use crate::etcd::Etcd;
use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::server::Server;
use crate::toolgate::{ControlPlane, Proxy};
use crate::{port, tools};

const SOON: Duration = Duration::from_secs(5);

/// Three proxies that serve the gateway `main` before one fixture.
#[derive(Debug)]
pub struct Fleet {
    /// All of them; each knows the others.
    pub proxies: Vec<Proxy>,
    /// What stands behind the gateway.
    pub server: Server,
    /// Good for every gateway.
    pub token: String,
    /// Whose fleet it is.
    pub plane: ControlPlane,
    _etcd: Etcd,
    sandbox: Sandbox,
}

impl Fleet {
    /// Starts everything, the fixture with these flags, and waits until every proxy serves.
    pub async fn start(name: &str, fixture: &[&str]) -> Result<Self> {
        let sandbox = Sandbox::new(name)?;
        let etcd = Etcd::start(&sandbox, 1).await?;
        let server = Server::fixture(&sandbox, "fixture", fixture).await?;
        let plane = ControlPlane::start(&sandbox, "plane", &etcd.endpoints()).await?;
        let mut proxies = Vec::new();
        for number in 1..=3 {
            proxies.push(Proxy::join(&sandbox, &format!("proxy-{number}"), &plane).await?);
        }
        let cli = plane.cli()?;
        cli.expose("main", server.url(), "single").await?;
        let token = cli.token("everywhere", &[]).await?;
        for proxy in &proxies {
            let agent = Agent::modern(&proxy.url("main"), &token);
            eventually("every proxy serves", SOON, || agent.echo("echo", "hello")).await?;
        }
        Ok(Self {
            proxies,
            server,
            token,
            plane,
            _etcd: etcd,
            sandbox,
        })
    }

    /// A session opened on the first proxy, as seen through each.
    pub async fn session(&self) -> Result<Vec<Agent>> {
        let home = Agent::legacy(&self.url(0), &self.token).await?;
        let urls = (0..self.proxies.len()).map(|at| self.url(at));
        Ok(urls.map(|url| home.moved_to(&url)).collect())
    }

    /// The gateway on the proxy at this place.
    #[must_use]
    pub fn url(&self, at: usize) -> String {
        let proxy = self.proxies.get(at);
        proxy.map_or_else(String::new, |proxy| proxy.url("main"))
    }

    /// Puts haproxy in front: each request goes to the next proxy, whoever sends it.
    pub async fn balance(&self) -> Result<Balancer> {
        let address = port::free()?;
        let mut config = format!(
            "global\n  log stdout format raw local0\n\
             defaults\n  mode http\n  log global\n  option httplog\n  timeout connect 5s\n  \
             timeout client 5m\n  timeout server 5m\n\
             frontend mcp\n  bind {address}\n  default_backend proxies\n\
             backend proxies\n  balance roundrobin\n"
        );
        for (at, proxy) in self.proxies.iter().enumerate() {
            config += &format!("  server proxy-{} {}\n", at + 1, proxy.mcp());
        }
        let file = self.sandbox.join("haproxy.cfg");
        std::fs::write(&file, config)?;
        let mut command = Command::new(tools::program("haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        let process = Process::start("haproxy", self.sandbox.path(), command)?;
        let agent = Agent::modern(&format!("http://{address}/v1/mcp/main"), &self.token);
        eventually("haproxy serves", SOON, || agent.tools())
            .await
            .with_context(|| process.errors())?;
        Ok(Balancer { process, address })
    }
}

/// A running haproxy.
#[derive(Debug)]
pub struct Balancer {
    process: Process,
    address: SocketAddr,
}

impl Balancer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has sent to the proxy of this number, from 1.
    #[must_use]
    pub fn requests(&self, proxy: usize) -> usize {
        let name = format!(" proxies/proxy-{proxy} ");
        let log = self.process.output();
        log.lines().filter(|line| line.contains(&name)).count()
    }
}
