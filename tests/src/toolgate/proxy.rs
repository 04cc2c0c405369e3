//! Processes of the role `proxy`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{ControlPlaneProcess, await_ready, command};
use crate::http_client::TestHttpClient;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::shifted_clock::ShiftedClock;
use crate::{clock, port};

/// `toolgate proxy`.
#[derive(Debug)]
pub struct ProxyProcess {
    process: TestProcess,
    name: String,
    mcp: SocketAddr,
    private: SocketAddr,
    home: PathBuf,
    control_plane: String,
    flags: Vec<String>,
    clock: Option<ShiftedClock>,
}

impl ProxyProcess {
    /// Creates a join token, starts a proxy with it and waits until it is ready.
    pub async fn join(sandbox: &Sandbox, name: &str, plane: &ControlPlaneProcess) -> Result<Self> {
        Self::join_with(sandbox, name, plane, &[]).await
    }

    /// Same as [`Self::join`], with further flags.
    pub async fn join_with(
        sandbox: &Sandbox,
        name: &str,
        plane: &ControlPlaneProcess,
        flags: &[&str],
    ) -> Result<Self> {
        let mut this = Self::start_joining(sandbox, name, plane, flags, None).await?;
        this.ready().await?;
        Ok(this)
    }

    /// Same as [`Self::join_with`], with this clock, and without waiting for the proxy.
    pub async fn start_joining(
        sandbox: &Sandbox,
        name: &str,
        plane: &ControlPlaneProcess,
        flags: &[&str],
        clock: Option<ShiftedClock>,
    ) -> Result<Self> {
        let join = sandbox.join(&format!("{name}.join.json"));
        std::fs::write(
            &join,
            plane.cli()?.run(&["proxies", "join-token"]).await?.stdout,
        )?;
        Self::start_with_join_file(sandbox, name, plane, flags, clock, &join)
    }

    /// Starts a proxy with a join token in a file, without waiting for it.
    pub fn start_with_join_file(
        sandbox: &Sandbox,
        name: &str,
        plane: &ControlPlaneProcess,
        flags: &[&str],
        clock: Option<ShiftedClock>,
        join: &Path,
    ) -> Result<Self> {
        let (mcp, private) = (port::free()?, port::free()?);
        let control_plane = format!("https://{}", plane.push());
        let home = sandbox.path().to_owned();
        let mut command = Self::command(&home, name, mcp, private, &control_plane)?;
        command.args(flags).arg("--join").arg(join);
        if let Some(clock) = &clock {
            clock.apply(&mut command);
        }
        let process = TestProcess::start(name, &home, command)?;
        let name = name.to_owned();
        Ok(Self {
            process,
            name,
            mcp,
            private,
            home,
            control_plane,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            clock,
        })
    }

    /// Waits until the proxy is ready.
    pub async fn ready(&mut self) -> Result<()> {
        await_ready(&mut self.process, self.private).await
    }

    /// Data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.join(&self.name)
    }

    /// Text of `/readyz?verbose`.
    pub async fn readyz(&self) -> Result<String> {
        let url = format!("http://{}/readyz?verbose", self.private);
        Ok(TestHttpClient::default().get(&url).await?.text())
    }

    fn command(
        home: &Path,
        name: &str,
        mcp: SocketAddr,
        private: SocketAddr,
        control_plane: &str,
    ) -> Result<Command> {
        let mut command = command()?;
        command.arg("proxy").arg("--data-dir").arg(home.join(name));
        command.args(["--id", name, "--listen", &mcp.to_string()]);
        command.args(["--private-listen", &private.to_string()]);
        command.args(["--peer-listen", "127.0.0.1:0"]);
        command.args([
            "--control-plane",
            control_plane,
            "--allow-network",
            "127.0.0.0/8",
        ]);
        Ok(command)
    }

    /// Kills the process and starts it again from its own disk, without joining anew.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.start_again().await
    }

    /// Asks the process to stop, waits for its end and starts it again, as an update does.
    pub async fn update(&mut self) -> Result<()> {
        self.process.signal("TERM")?;
        let status = self.process.wait_for_exit(clock::HANG_GUARD).await?;
        anyhow::ensure!(status.success(), "{status}: {}", self.process.stderr());
        self.start_again().await
    }

    async fn start_again(&mut self) -> Result<()> {
        self.launch_again()?;
        await_ready(&mut self.process, self.private).await
    }

    /// Same as [`Self::restart`], without waiting for the proxy. Its process must have ended.
    pub fn launch_again(&mut self) -> Result<()> {
        let mut command = Self::command(
            &self.home,
            &self.name,
            self.mcp,
            self.private,
            &self.control_plane,
        )?;
        command.args(&self.flags);
        if let Some(clock) = &self.clock {
            clock.apply(&mut command);
        }
        self.process = TestProcess::start(&self.name, &self.home, command)?;
        Ok(())
    }

    /// Address of the MCP listener.
    #[must_use]
    pub fn mcp(&self) -> SocketAddr {
        self.mcp
    }

    /// Address of the private port.
    #[must_use]
    pub fn private(&self) -> SocketAddr {
        self.private
    }

    /// Endpoint of a gateway on this proxy.
    #[must_use]
    pub fn url(&self, gateway: &str) -> String {
        format!("http://{}/v1/mcp/{gateway}", self.mcp)
    }

    /// Process of this role.
    pub fn process(&mut self) -> &mut TestProcess {
        &mut self.process
    }
}
