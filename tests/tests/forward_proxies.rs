//! Servers behind a forward proxy: a real one between Toolgate and servers over TLS and over plain HTTP.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::process::TestProcess;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};
use toolgate_tests::upstream_server::UpstreamServer;
use toolgate_tests::{external_programs, nginx, port};

const PASSWORD: &str = "geheim-7193";

/// A server behind nginx, at an address that is reached through a proxy, and that proxy.
struct ProxiedNetwork {
    sandbox: Sandbox,
    proxy: SocketAddr,
    https: String,
    http: String,
    _processes: Vec<TestProcess>,
    _server: UpstreamServer,
}

impl ProxiedNetwork {
    async fn start(name: &str) -> Result<Self> {
        let sandbox = Sandbox::new(name)?;
        let server = UpstreamServer::fixture(&sandbox, "server", &[]).await?;
        let (https, http, proxy) = (port::free()?.port(), port::free()?.port(), port::free()?);
        let nginx = start_nginx(&sandbox, server.address(), https, http)?;
        let tinyproxy = start_tinyproxy(&sandbox, proxy)?;
        for address in [proxy, SocketAddr::from(([127, 0, 0, 2], https))] {
            eventually("listens", HANG_GUARD, || async move {
                toolgate_tests::http_client::socket(address).await.map(drop)
            })
            .await?;
        }
        Ok(Self {
            sandbox,
            proxy,
            https: format!("https://127.0.0.2:{https}/mcp"),
            http: format!("http://127.0.0.2:{http}/mcp"),
            _processes: vec![nginx, tinyproxy],
            _server: server,
        })
    }

    fn proxy_url(&self, password: &str) -> String {
        format!("http://toolgate:{password}@{}", self.proxy)
    }

    /// Requests that the proxy has accepted, as its log has them.
    fn proxied(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.sandbox.join("tinyproxy.log"))?;
        let requests = log.lines().filter_map(|line| line.split_once("): "));
        Ok(requests
            .map(|(_, request)| request.to_owned())
            .filter(|request| request.ends_with("HTTP/1.1"))
            .collect())
    }

    async fn up(&self, flags: &[&str], environment: &[(&str, &str)]) -> Result<ToolgateUp> {
        let authority = self.sandbox.join("server.crt").display().to_string();
        let flags: Vec<_> = ["--egress-ca", &authority, "--log", "debug"]
            .into_iter()
            .chain(flags.iter().copied())
            .collect();
        ToolgateUp::start_in(&self.sandbox, &flags, environment).await
    }
}

/// Serves the server at 127.0.0.2, which is not one of the addresses that are always reached directly.
fn start_nginx(
    sandbox: &Sandbox,
    server: SocketAddr,
    https: u16,
    http: u16,
) -> Result<TestProcess> {
    let certificate = nginx::certificate(sandbox, "127.0.0.2")?;
    let location = format!(
        "location / {{ proxy_pass http://{server}; proxy_set_header Host {server}; \
         proxy_http_version 1.1; proxy_buffering off; }}"
    );
    let http = format!(
        "access_log off; {certificate}\n\
         server {{ listen 127.0.0.2:{https} ssl; {location} }}\n\
         server {{ listen 127.0.0.2:{http}; {location} }}"
    );
    nginx::start(sandbox, &http)
}

fn start_tinyproxy(sandbox: &Sandbox, address: SocketAddr) -> Result<TestProcess> {
    let log = sandbox.join("tinyproxy.log");
    let config = format!(
        "Port {}\nListen {}\nTimeout 600\nMaxClients 100\nLogLevel Connect\nLogFile \"{}\"\n\
         BasicAuth toolgate {PASSWORD}\n",
        address.port(),
        address.ip(),
        log.display()
    );
    let file = sandbox.join("tinyproxy.conf");
    fs::write(&file, config)?;
    let mut command = Command::new(external_programs::program("tinyproxy")?);
    command.arg("-d").arg("-c").arg(&file);
    TestProcess::start("tinyproxy", sandbox.path(), command)
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_reached_through_the_proxy_of_the_environment() {
    let network = ProxiedNetwork::start("proxied").await.unwrap();
    let proxy = network.proxy_url(PASSWORD);
    // Both cases of the variables are read.
    let environment = [
        ("https_proxy", proxy.as_str()),
        ("HTTP_PROXY", proxy.as_str()),
    ];
    let mut up = network.up(&[], &environment).await.unwrap();
    for (name, url) in [("secure", &network.https), ("plain", &network.http)] {
        let token = up.expose(name, url, "never").await.unwrap();
        let modern = Agent::modern(&up.url(name), &token);
        modern.echo("echo", "through a proxy").await.unwrap();
        let legacy = Agent::legacy(&up.url(name), &token).await.unwrap();
        legacy.echo("echo", "through a proxy").await.unwrap();
    }
    let requests = network.proxied().unwrap();
    let secure = network
        .https
        .trim_start_matches("https://")
        .trim_end_matches("/mcp");
    assert!(
        requests.contains(&format!("CONNECT {secure} HTTP/1.1")),
        "{requests:#?}"
    );
    assert!(
        requests.contains(&format!("POST {} HTTP/1.1", network.http)),
        "{requests:#?}"
    );
    // What is inside of a tunnel is not seen by the proxy.
    assert!(
        !requests
            .iter()
            .any(|request| request.contains(&network.https))
    );
    let log = up.process().stderr() + &up.process().stdout();
    assert!(log.contains("servers are reached through a proxy"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named_and_its_password_is_not() {
    let network = ProxiedNetwork::start("refused").await.unwrap();
    let proxy = network.proxy_url("wrong-5521");
    let mut up = network.up(&["--all-proxy", &proxy], &[]).await.unwrap();
    let cli = up.cli().unwrap();
    cli.run(&["server", "add", "secure", "--url", &network.https])
        .await
        .unwrap();
    let shown = eventually("the problem is shown", HANG_GUARD, || async {
        let described = cli.run(&["describe", "server", "secure"]).await?;
        let described = text(&described.stdout);
        match described.contains("through the proxy") {
            true => Ok(described),
            false => bail!("{described}"),
        }
    })
    .await
    .unwrap();
    assert!(!shown.contains("wrong-5521"), "{shown}");
    let log = up.process().stderr() + &up.process().stdout();
    assert!(log.contains(&format!("`{}`", network.proxy)), "{log}");
    assert!(
        log.contains("a user name and a password that it accepts"),
        "{log}"
    );
    assert!(!log.contains("wrong-5521"), "{log}");
    let printed = json!(text(
        &cli.run(&["up", "--all-proxy", &proxy, "--print-config"])
            .await
            .unwrap()
            .stdout
    ));
    assert!(!printed.to_string().contains("wrong-5521"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn excepted_hosts_and_loopback_are_reached_directly() {
    let network = ProxiedNetwork::start("excepted").await.unwrap();
    let proxy = network.proxy_url(PASSWORD);
    let flags = [
        "--all-proxy",
        proxy.as_str(),
        "--no-proxy",
        "127.0.0.2/32,.internal.example",
    ];
    let up = network.up(&flags, &[]).await.unwrap();
    let own = UpstreamServer::fixture(&network.sandbox, "own", &[])
        .await
        .unwrap();
    for (name, url) in [("secure", network.https.as_str()), ("own", own.url())] {
        let token = up.expose(name, url, "never").await.unwrap();
        Agent::modern(&up.url(name), &token)
            .echo("echo", "direct")
            .await
            .unwrap();
    }
    assert_eq!(network.proxied().unwrap(), Vec::<String>::new());
}
