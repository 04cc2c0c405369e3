//! Processes of the compared programs on loopback. Each ends when dropped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::clock;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Child process that serves requests.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    /// Starts the program with its output in `<folder>/<name>.log` and waits until it accepts connections.
    pub fn start(
        name: &str,
        folder: &Path,
        mut command: Command,
        listens: SocketAddr,
    ) -> Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let log = fs::File::create(&path)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let mut program = Self { child };
        let start = clock::now();
        while !accepts(listens) {
            if let Some(status) = program.child.try_wait()? {
                bail!(
                    "{name} ended with {status}:\n{}",
                    fs::read_to_string(&path)?
                );
            }
            if start.elapsed() > START_TIMEOUT {
                bail!(
                    "{name} does not listen on {listens}:\n{}",
                    fs::read_to_string(&path)?
                );
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(program)
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // nginx stops its workers only on SIGTERM, not on SIGKILL.
        let asked = Command::new("kill")
            .args(["-s", "TERM", &self.id().to_string()])
            .status();
        let start = clock::now();
        while asked.is_ok() && start.elapsed() < Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn accepts(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, POLL_INTERVAL).is_ok()
}

/// Finds `count` consecutive free ports and returns the first.
pub fn free_ports(count: u16) -> Result<SocketAddr> {
    let range = 20_000..30_000_u16;
    let first = range.step_by(usize::from(count.max(1))).find(|first| {
        (0..count).all(|step| TcpListener::bind((Ipv4Addr::LOCALHOST, first + step)).is_ok())
    });
    first
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .context("no free ports")
}

/// Returns the path of a program of the workspace, built in the same profile as the running one.
pub fn sibling_binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program without a folder")?;
    let folder = if folder.ends_with("deps") {
        folder.join("..")
    } else {
        folder.to_owned()
    };
    let path = folder.join(name);
    if !path.exists() {
        bail!("{} is missing: `make bench` builds it", path.display());
    }
    Ok(path)
}

/// Starts the benchmark's MCP server on `listen` and the following ports.
pub fn upstream(
    name: &str,
    folder: &Path,
    listen: SocketAddr,
    flags: &[&str],
) -> Result<ServerProcess> {
    let mut command = Command::new(sibling_binary("upstream")?);
    command.args(["--listen", &listen.to_string()]).args(flags);
    ServerProcess::start(name, folder, command, listen)
}

/// Starts the pass-through proxy.
pub fn passthrough(
    folder: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
) -> Result<ServerProcess> {
    let mut command = Command::new(sibling_binary("passthrough")?);
    command.args([
        "--listen",
        &listen.to_string(),
        "--upstream",
        &upstream.to_string(),
    ]);
    ServerProcess::start("passthrough", folder, command, listen)
}

/// Starts nginx as a plain reverse proxy; `None` if nginx is not installed.
pub fn nginx(
    folder: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
) -> Result<Option<ServerProcess>> {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
    let Some(program) = places.iter().map(Path::new).find(|path| path.exists()) else {
        return Ok(None);
    };
    let home = folder.display();
    let settings = format!(
        "daemon off;
pid {home}/nginx.pid;
error_log {home}/nginx-error.log;
worker_processes 2;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  keepalive_requests 1000000000;
  upstream mcp {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen {listen} backlog=1024;
    location / {{
      proxy_pass http://mcp;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
}}
"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, settings)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&path).arg("-p").arg(folder);
    ServerProcess::start("nginx", folder, command, listen).map(Some)
}

/// Process of the gateway with its addresses and admin token.
#[derive(Debug)]
pub struct GatewayProcess {
    program: ServerProcess,
    binary: PathBuf,
    listen: SocketAddr,
    admin: SocketAddr,
    token: String,
}

impl GatewayProcess {
    /// Starts `toolgate up`.
    pub fn start(folder: &Path) -> Result<Self> {
        let binary = sibling_binary("toolgate")?;
        let (listen, data) = (free_ports(3)?, folder.join("data"));
        let admin = SocketAddr::new(listen.ip(), listen.port() + 1);
        let private = SocketAddr::new(listen.ip(), listen.port() + 2);
        let mut command = Command::new(&binary);
        command.arg("up").arg("--data-dir").arg(&data);
        command.args([
            "--listen",
            &listen.to_string(),
            "--admin-listen",
            &admin.to_string(),
        ]);
        command.args(["--private-listen", &private.to_string()]);
        let program = ServerProcess::start("toolgate", folder, command, listen)?;
        let path = data.join("admin-token");
        let start = clock::now();
        let token = loop {
            match fs::read_to_string(&path) {
                Ok(token) if accepts(admin) => break token.trim().to_owned(),
                _ if start.elapsed() > START_TIMEOUT => bail!("no {} in time", path.display()),
                _ => std::thread::sleep(POLL_INTERVAL),
            }
        };
        Ok(Self {
            program,
            binary,
            listen,
            admin,
            token,
        })
    }

    /// Runs one command of the `toolgate` command line.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .env("TOOLGATE_ADDR", format!("http://{}", self.admin))
            .env("TOOLGATE_TOKEN", &self.token)
            .output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("toolgate {arguments:?}: {words}");
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Creates a token without restrictions.
    pub fn token(&self) -> Result<String> {
        let made: Value =
            serde_json::from_str(&self.run(&["token", "create", "bench", "-o", "json"])?)?;
        let token = made.get("token").and_then(Value::as_str);
        token.map(str::to_owned).context("no token")
    }

    /// Returns the URL of a gateway's MCP endpoint.
    #[must_use]
    pub fn url(&self, gateway: &str) -> String {
        format!("http://{}/v1/mcp/{gateway}", self.listen)
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.program.id()
    }
}
