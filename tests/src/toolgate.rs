//! The product as users run it: the real binary in its roles, and its command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

mod command_line;
mod proxy;

use crate::admin_client::AdminClient;
use crate::agent::Agent;
use crate::http_client::TestHttpClient;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::shifted_clock::ShiftedClock;
use crate::small_disk::SmallDisk;
use crate::{clock, external_programs, port, process};

pub use command_line::{CommandLine, refused, shown, start_deployment};
pub use proxy::ProxyProcess;

/// Timeout from the start of a role to `/readyz`.
const START_TIMEOUT: Duration = clock::HANG_GUARD;
/// Longest run of a command.
const COMMAND_TIMEOUT: Duration = clock::HANG_GUARD;

/// The binary with a clean environment, without settings of the machine.
fn command() -> Result<Command> {
    let mut command = Command::new(external_programs::toolgate()?);
    let inherited = std::env::vars_os();
    let is_setting =
        |name: &str| name.starts_with("TOOLGATE_") || name.to_ascii_lowercase().ends_with("_proxy");
    for (name, _) in inherited.filter(|(name, _)| is_setting(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "1");
    Ok(command)
}

/// Waits for `/readyz` on a private port.
async fn await_ready(process: &mut TestProcess, private: SocketAddr) -> Result<()> {
    let http = TestHttpClient::default();
    let url = format!("http://{private}/readyz?verbose");
    let start = clock::now();
    loop {
        process.ensure_running()?;
        let last = match http.get(&url).await {
            Ok(reply) if reply.status.is_success() => return Ok(()),
            Ok(reply) => format!("{} {}", reply.status, reply.text()),
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() > START_TIMEOUT {
            bail!(
                "not ready within {START_TIMEOUT:?}: {last}\n{}",
                process.stderr()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `toolgate up`: all roles in one process.
#[derive(Debug)]
pub struct ToolgateUp {
    process: TestProcess,
    mcp: SocketAddr,
    admin: SocketAddr,
    private: SocketAddr,
    data: PathBuf,
    home: PathBuf,
    disk: Option<Arc<SmallDisk>>,
}

impl ToolgateUp {
    /// Starts the process on free ports with a new data folder, and waits until it is ready.
    pub async fn start(sandbox: &Sandbox, flags: &[&str]) -> Result<Self> {
        let mut up = Self::launch(sandbox, flags)?;
        await_ready(&mut up.process, up.private).await?;
        Ok(up)
    }

    /// Same as [`Self::start`], with further variables in its environment.
    pub async fn start_in(
        sandbox: &Sandbox,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut up = Self::launch_on(sandbox, None, flags, environment)?;
        await_ready(&mut up.process, up.private).await?;
        Ok(up)
    }

    /// Same as [`Self::start`], with the data folder on a disk of its own.
    pub async fn start_on(
        sandbox: &Sandbox,
        disk: &Arc<SmallDisk>,
        flags: &[&str],
    ) -> Result<Self> {
        let mut up = Self::launch_on(sandbox, Some(Arc::clone(disk)), flags, &[])?;
        await_ready(&mut up.process, up.private).await?;
        Ok(up)
    }

    /// Same as [`Self::start`], with at most this number of open file descriptors.
    pub async fn start_with_descriptors(sandbox: &Sandbox, count: usize) -> Result<Self> {
        let (mcp, admin, private) = (port::free()?, port::free()?, port::free()?);
        let (data, home) = (sandbox.join("data"), sandbox.path().to_owned());
        let whole = Self::command(&data, mcp, admin, private, &[], None)?;
        let mut prlimit = Command::new("prlimit");
        prlimit.arg(format!("--nofile={count}:{count}"));
        let command = process::wrap(prlimit, &whole);
        let process = TestProcess::start("up", sandbox.path(), command)?;
        let mut up = Self {
            process,
            mcp,
            admin,
            private,
            data,
            home,
            disk: None,
        };
        await_ready(&mut up.process, up.private).await?;
        Ok(up)
    }

    /// Starts the process without waiting for readiness.
    pub fn launch(sandbox: &Sandbox, flags: &[&str]) -> Result<Self> {
        Self::launch_on(sandbox, None, flags, &[])
    }

    fn launch_on(
        sandbox: &Sandbox,
        disk: Option<Arc<SmallDisk>>,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let (mcp, admin, private) = (port::free()?, port::free()?, port::free()?);
        let folder = disk.as_ref().map(|disk| disk.folder().to_owned());
        let data = folder
            .unwrap_or_else(|| sandbox.path().to_owned())
            .join("data");
        let home = sandbox.path().to_owned();
        let mut command = Self::command(&data, mcp, admin, private, flags, disk.as_deref())?;
        command.envs(environment.iter().copied());
        let process = TestProcess::start("up", sandbox.path(), command)?;
        Ok(Self {
            process,
            mcp,
            admin,
            private,
            data,
            home,
            disk,
        })
    }

    fn command(
        data: &Path,
        mcp: SocketAddr,
        admin: SocketAddr,
        private: SocketAddr,
        flags: &[&str],
        disk: Option<&SmallDisk>,
    ) -> Result<Command> {
        let mut command = command()?;
        command.arg("up").arg("--data-dir").arg(data);
        command.args(["--listen", &mcp.to_string()]);
        command.args(["--admin-listen", &admin.to_string()]);
        command
            .args(["--private-listen", &private.to_string()])
            .args(flags);
        Ok(match disk {
            Some(disk) => disk.enter(&command)?,
            None => command,
        })
    }

    /// Kills the process and starts it again on the same ports and data.
    pub async fn restart(&mut self, flags: &[&str]) -> Result<()> {
        self.process.kill()?;
        let (mcp, admin, private) = (self.mcp, self.admin, self.private);
        let disk = self.disk.as_deref();
        let command = Self::command(&self.data, mcp, admin, private, flags, disk)?;
        self.process = TestProcess::start("up", &self.home, command)?;
        await_ready(&mut self.process, self.private).await
    }

    /// Text of `/readyz?verbose`.
    pub async fn readyz(&self) -> Result<String> {
        let url = format!("http://{}/readyz?verbose", self.private);
        Ok(TestHttpClient::default().get(&url).await?.text())
    }

    /// Command line with the token of the bootstrap administrator.
    pub fn cli(&self) -> Result<CommandLine> {
        let file = self.data.join("admin-token");
        let file = self
            .disk
            .as_ref()
            .map_or(file.clone(), |disk| disk.outside(&file));
        let token = std::fs::read_to_string(file).context("admin-token")?;
        Ok(
            CommandLine::new(&format!("http://{}", self.admin), token.trim(), &self.home)
                .with_endpoint(&format!("http://{}", self.mcp)),
        )
    }

    /// Same as [`CommandLine::expose`], and waits until the token is accepted.
    pub async fn expose(&self, name: &str, url: &str, prefix: &str) -> Result<String> {
        let token = self.cli()?.expose(name, url, prefix).await?;
        self.await_accepted(name, token).await
    }

    /// Same as [`CommandLine::expose_spec`], and waits until the token is accepted.
    pub async fn expose_spec(&self, name: &str, spec: &str, prefix: &str) -> Result<String> {
        let token = self.cli()?.expose_spec(name, spec, prefix).await?;
        self.await_accepted(name, token).await
    }

    /// Waits until the gateway lists its tools for this token, and returns it.
    async fn await_accepted(&self, gateway: &str, token: String) -> Result<String> {
        let agent = Agent::modern(&self.url(gateway), &token);
        let list = || agent.tools();
        clock::eventually("the token is accepted", clock::HANG_GUARD, list).await?;
        Ok(token)
    }

    /// Waits until no request is served.
    pub async fn wait_until_idle(&self) -> Result<()> {
        let url = format!("http://{}/metrics", self.private);
        let http = TestHttpClient::default();
        clock::eventually("all requests have ended", clock::HANG_GUARD, || async {
            let shown = http.get(&url).await?.text();
            let running = shown
                .lines()
                .find(|line| line.starts_with("toolgate_requests_running "));
            let running = running.context("no such number")?;
            anyhow::ensure!(running.ends_with(" 0"), "{running}");
            Ok(())
        })
        .await
    }

    /// Endpoint of a gateway.
    #[must_use]
    pub fn url(&self, gateway: &str) -> String {
        format!("http://{}/v1/mcp/{gateway}", self.mcp)
    }

    /// Address of the MCP listener.
    #[must_use]
    pub fn mcp(&self) -> SocketAddr {
        self.mcp
    }

    /// Address of the admin API.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Address of `/livez`, `/readyz` and `/metrics`.
    #[must_use]
    pub fn private(&self) -> SocketAddr {
        self.private
    }

    /// Data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Process of this role.
    pub fn process(&mut self) -> &mut TestProcess {
        &mut self.process
    }
}

/// `toolgate control-plane` with a real etcd.
#[derive(Debug)]
pub struct ControlPlaneProcess {
    process: TestProcess,
    admin: SocketAddr,
    push: SocketAddr,
    private: SocketAddr,
    data: PathBuf,
    home: PathBuf,
    name: String,
    endpoints: String,
    flags: Vec<String>,
}

impl ControlPlaneProcess {
    /// Starts the process and waits until it is ready.
    pub async fn start(sandbox: &Sandbox, name: &str, endpoints: &[String]) -> Result<Self> {
        Self::start_with(sandbox, name, endpoints, &[]).await
    }

    /// Starts the process with further flags and waits until it is ready.
    pub async fn start_with(
        sandbox: &Sandbox,
        name: &str,
        endpoints: &[String],
        flags: &[&str],
    ) -> Result<Self> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (admin, push, private) = (port::free()?, port::free()?, port::free()?);
        let data = sandbox.join("control-plane");
        let home = sandbox.path().to_owned();
        let endpoints = endpoints.join(",");
        let mut command = Self::command(&data, admin, push, private, &endpoints)?;
        command.args(&flags);
        let process = TestProcess::start(name, &home, command)?;
        let name = name.to_owned();
        let mut this = Self {
            process,
            admin,
            push,
            private,
            data,
            home,
            name,
            endpoints,
            flags,
        };
        await_ready(&mut this.process, this.private).await?;
        Ok(this)
    }

    /// Starts another control plane with the same store and keys.
    pub async fn start_replica(&self, name: &str) -> Result<Self> {
        self.start_replica_with_clock(name, None).await
    }

    /// Starts another control plane with the same store and keys, and with its own clock.
    pub async fn start_replica_with_clock(
        &self,
        name: &str,
        clock: Option<&ShiftedClock>,
    ) -> Result<Self> {
        self.launch_replica(name, self.endpoints.clone(), clock)
            .await
    }

    /// Starts another control plane with the same keys, which reaches the same store at other addresses.
    pub async fn start_replica_over(&self, name: &str, endpoints: &[String]) -> Result<Self> {
        self.launch_replica(name, endpoints.join(","), None).await
    }

    async fn launch_replica(
        &self,
        name: &str,
        endpoints: String,
        clock: Option<&ShiftedClock>,
    ) -> Result<Self> {
        let data = self.home.join(name);
        std::fs::create_dir_all(&data)?;
        for file in std::fs::read_dir(&self.data)? {
            let file = file?;
            if file.file_type()?.is_file() {
                std::fs::copy(file.path(), data.join(file.file_name()))?;
            }
        }
        let (admin, push, private) = (port::free()?, port::free()?, port::free()?);
        let mut command = Self::command(&data, admin, push, private, &endpoints)?;
        command.args(&self.flags);
        if let Some(clock) = clock {
            clock.apply(&mut command);
        }
        let process = TestProcess::start(name, &self.home, command)?;
        let mut replica = Self {
            process,
            admin,
            push,
            private,
            data,
            home: self.home.clone(),
            name: name.to_owned(),
            endpoints,
            flags: self.flags.clone(),
        };
        await_ready(&mut replica.process, replica.private).await?;
        Ok(replica)
    }

    fn command(
        data: &Path,
        admin: SocketAddr,
        push: SocketAddr,
        private: SocketAddr,
        endpoints: &str,
    ) -> Result<Command> {
        let mut command = command()?;
        command.arg("control-plane").arg("--data-dir").arg(data);
        command.args(["--etcd", endpoints, "--admin-listen", &admin.to_string()]);
        command.args(["--push-listen", &push.to_string()]);
        command.args(["--private-listen", &private.to_string()]);
        command.args(["--allow-network", "127.0.0.0/8"]);
        Ok(command)
    }

    /// Kills the process.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Kills the process, unless it has ended, and starts it again on the same ports and data.
    pub async fn restart(&mut self) -> Result<()> {
        self.restart_with(&[]).await
    }

    /// Same as [`Self::restart`], with further flags for this start.
    pub async fn restart_with(&mut self, flags: &[&str]) -> Result<()> {
        self.launch_again(flags)?;
        await_ready(&mut self.process, self.private).await
    }

    /// Same as [`Self::restart_with`], without waiting for the process.
    pub fn launch_again(&mut self, flags: &[&str]) -> Result<()> {
        self.process.kill()?;
        let (data, endpoints) = (&self.data, &self.endpoints);
        let mut command = Self::command(data, self.admin, self.push, self.private, endpoints)?;
        command.args(&self.flags).args(flags);
        self.process = TestProcess::start(&self.name, &self.home, command)?;
        Ok(())
    }

    /// Uses another store from the next start on.
    pub fn set_endpoints(&mut self, endpoints: &[String]) {
        self.endpoints = endpoints.join(",");
    }

    /// Data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Command line with the token of the bootstrap administrator.
    pub fn cli(&self) -> Result<CommandLine> {
        let token =
            std::fs::read_to_string(self.data.join("admin-token")).context("admin-token")?;
        Ok(CommandLine::new(
            &format!("http://{}", self.admin),
            token.trim(),
            &self.home,
        ))
    }

    /// Log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Text of `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.private);
        Ok(TestHttpClient::default().get(&url).await?.text())
    }

    /// Client of the admin API with the token of the bootstrap administrator.
    pub fn admin_client(&self) -> Result<AdminClient> {
        AdminClient::new(self.admin, &self.cli()?)
    }

    /// Text of `/readyz?verbose`.
    pub async fn readyz(&self) -> Result<String> {
        let url = format!("http://{}/readyz?verbose", self.private);
        Ok(TestHttpClient::default().get(&url).await?.text())
    }

    /// Address of the admin API.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Address that proxies connect to.
    #[must_use]
    pub fn push(&self) -> SocketAddr {
        self.push
    }

    /// Process of this role.
    pub fn process(&mut self) -> &mut TestProcess {
        &mut self.process
    }
}

/// Bytes as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
