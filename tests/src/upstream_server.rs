//! Upstream servers as processes: the fixture server and the official everything-server.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::fixture::ExecutionCounts;
use crate::http_client::TestHttpClient;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::{clock, external_programs, port};

const START_TIMEOUT: Duration = clock::HANG_GUARD;

/// Running upstream server.
#[derive(Debug)]
pub struct UpstreamServer {
    process: TestProcess,
    url: String,
    address: SocketAddr,
}

impl UpstreamServer {
    /// Starts the fixture server with these flags.
    pub async fn fixture(sandbox: &Sandbox, name: &str, flags: &[&str]) -> Result<Self> {
        Self::fixture_at(sandbox, name, port::free()?, flags).await
    }

    /// Starts the fixture server at a given address, to restart it at the same place.
    pub async fn fixture_at(
        sandbox: &Sandbox,
        name: &str,
        address: SocketAddr,
        flags: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(external_programs::fixture()?);
        command
            .arg("--port")
            .arg(address.port().to_string())
            .args(flags);
        let mut process = TestProcess::start(name, sandbox.path(), command)?;
        let url = format!("http://{address}/mcp");
        process.wait_for_line(&url, START_TIMEOUT).await?;
        Ok(Self {
            process,
            url,
            address,
        })
    }

    /// Starts `@modelcontextprotocol/server-everything` over Streamable HTTP.
    pub async fn everything(sandbox: &Sandbox) -> Result<Self> {
        Self::everything_at(sandbox, port::free()?, "streamableHttp", "mcp").await
    }

    /// Starts the same server at a given address, to restart it at the same place.
    pub async fn everything_streamable_at(sandbox: &Sandbox, address: SocketAddr) -> Result<Self> {
        Self::everything_at(sandbox, address, "streamableHttp", "mcp").await
    }

    /// Starts the same server over HTTP+SSE (2024-11-05 transport) at a given address.
    pub async fn everything_http_sse(sandbox: &Sandbox, address: SocketAddr) -> Result<Self> {
        Self::everything_at(sandbox, address, "sse", "sse").await
    }

    /// Starts the SDK's example of a server that ends the stream of a call for resumption. Its port is not
    /// configurable, so a preloaded module redirects it to a free port.
    pub async fn polling(sandbox: &Sandbox) -> Result<Self> {
        const ELSEWHERE: &str = "data:text/javascript,import net from 'node:net'; \
            const listen = net.Server.prototype.listen; \
            net.Server.prototype.listen = function (port, ...rest) { \
            return listen.call(this, process.env.PORT, '127.0.0.1', ...rest) }";
        let address = port::free()?;
        let mut command = Command::new(external_programs::node()?);
        let example = "@modelcontextprotocol/sdk/dist/esm/examples/server/ssePollingExample.js";
        command.args(["--import", ELSEWHERE]);
        command.arg(external_programs::package(example)?);
        command.env("PORT", address.port().to_string());
        let mut process = TestProcess::start("polling", sandbox.path(), command)?;
        process
            .wait_for_line("Example Server running", START_TIMEOUT)
            .await?;
        Ok(Self {
            process,
            url: format!("http://{address}/mcp"),
            address,
        })
    }

    async fn everything_at(
        sandbox: &Sandbox,
        address: SocketAddr,
        transport: &str,
        path: &str,
    ) -> Result<Self> {
        let mut command = Command::new(external_programs::node()?);
        let package = "@modelcontextprotocol/server-everything/dist/index.js";
        command
            .arg(external_programs::package(package)?)
            .arg(transport);
        command.env("PORT", address.port().to_string());
        let mut process = TestProcess::start("everything", sandbox.path(), command)?;
        let url = format!("http://{address}/{path}");
        let (http, root) = (TestHttpClient::default(), format!("http://{address}/"));
        clock::eventually("server-everything answers", START_TIMEOUT, || async {
            http.get(&root).await.map(drop)
        })
        .await?;
        process.ensure_running()?;
        Ok(Self {
            process,
            url,
            address,
        })
    }

    /// MCP endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Process of the server.
    pub fn process(&mut self) -> &mut TestProcess {
        &mut self.process
    }

    /// Execution counts of a fixture server.
    pub async fn counts(&self) -> Result<ExecutionCounts> {
        let reply = TestHttpClient::default()
            .get(&format!("http://{}/counts", self.address))
            .await?;
        serde_json::from_slice(&reply.body).context("counts")
    }
}
