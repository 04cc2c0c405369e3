//! Servers that speak one version of TLS only: 1.2 and 1.3 are used, older versions are refused.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::process::TestProcess;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};
use toolgate_tests::upstream_server::UpstreamServer;
use toolgate_tests::{external_programs, nginx, port};

/// Versions as nginx names them, each with its name at curl, and true if Toolgate speaks it.
const VERSIONS: [(&str, &str, bool); 4] = [
    ("TLSv1", "1.0", false),
    ("TLSv1.1", "1.1", false),
    ("TLSv1.2", "1.2", true),
    ("TLSv1.3", "1.3", true),
];

/// Serves `server` over each version at a port of its own, with one certificate.
fn start_nginx(sandbox: &Sandbox, server: SocketAddr, ports: &[SocketAddr]) -> Result<TestProcess> {
    let certificate = nginx::certificate(sandbox, "127.0.0.1")?;
    let mut http = format!("access_log off; {certificate}\n");
    for ((version, ..), address) in VERSIONS.iter().zip(ports) {
        // Only level 0 still has the algorithms of the old versions.
        http.push_str(&format!(
            "server {{ listen {address} ssl; ssl_protocols {version}; ssl_ciphers ALL:@SECLEVEL=0; \
             location / {{ proxy_pass http://{server}; proxy_set_header Host {server}; \
             proxy_http_version 1.1; proxy_buffering off; }} }}\n"
        ));
    }
    nginx::start(sandbox, &http)
}

/// Requests the server over exactly this version with a client that speaks all of them.
fn serves(url: &str, version: &str) -> Result<()> {
    let minimum = format!("--tlsv{version}");
    let arguments = ["-sk", "--ciphers", "DEFAULT@SECLEVEL=0", "--max-time", "20"];
    let output = Command::new(external_programs::program("curl")?)
        .args(arguments)
        .args([&*minimum, "--tls-max", version, "-o", "/dev/null"])
        .args(["-w", "%{http_code}", url])
        .output()
        .context("curl")?;
    let status = text(&output.stdout);
    ensure!(
        output.status.success() && status != "000",
        "TLS {version}: {status} {}",
        text(&output.stderr)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ss_09_servers_that_speak_only_an_older_version_of_tls_are_refused() {
    let sandbox = Sandbox::new("tls-versions").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "server", &[])
        .await
        .unwrap();
    let ports = VERSIONS.map(|_| port::free().unwrap());
    let _nginx = start_nginx(&sandbox, server.address(), &ports).unwrap();
    let authority = sandbox.join("server.crt").display().to_string();
    let up = ToolgateUp::start(&sandbox, &["--egress-ca", &authority])
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    for ((version, number, spoken), address) in VERSIONS.into_iter().zip(ports) {
        let url = format!("https://{address}/mcp");
        // The server serves clients that still speak this version.
        eventually("the server answers", HANG_GUARD, || async {
            serves(&url, number)
        })
        .await
        .unwrap();
        let name = version.to_lowercase().replace('.', "-");
        if spoken {
            let token = up.expose(&name, &url, "never").await.unwrap();
            let agent = Agent::modern(&up.url(&name), &token);
            agent.echo("echo", "over TLS").await.unwrap();
            continue;
        }
        let add = ["server", "add", &name, "--url", &url];
        let told = text(&cli.run(&add).await.unwrap().stderr);
        assert!(told.contains("no secure connection"), "{version}: {told}");
    }
}
