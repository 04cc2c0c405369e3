//! The fleet of the compose file, started service by service as the file specifies, with local names and ports: etcd,
//! two control planes, the join step, three proxies, haproxy.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::http_client::TestHttpClient;
use toolgate_tests::process::TestProcess;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, text};
use toolgate_tests::upstream_server::UpstreamServer;
use toolgate_tests::{external_programs, port};

const PLANES: [&str; 2] = ["control-plane-1", "control-plane-2"];
const PROXIES: [&str; 3] = ["proxy-1", "proxy-2", "proxy-3"];

/// Content of the file, and local addresses of its names.
struct ComposeFleet {
    services: Value,
    /// Maps `name:port` of the file to a local address.
    addresses: BTreeMap<String, SocketAddr>,
    running: BTreeMap<&'static str, TestProcess>,
    sandbox: Sandbox,
}

fn read(path: &str) -> Result<String> {
    let path = external_programs::repository().join("deploy").join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

impl ComposeFleet {
    fn load() -> Result<Self> {
        let compose: Value = serde_saphyr::from_str(&read("compose.yaml")?)
            .map_err(|error| anyhow::Error::msg(error.to_string()))?;
        let mut addresses = BTreeMap::new();
        let mut at = |name: &str, number: u16| -> Result<()> {
            addresses.insert(format!("{name}:{number}"), port::free()?);
            Ok(())
        };
        for plane in PLANES {
            at(plane, 7400)?;
            at(plane, 7401)?;
            at(plane, 7410)?;
        }
        for proxy in PROXIES {
            at(proxy, 7300)?;
            at(proxy, 7401)?;
            at(proxy, 7402)?;
        }
        at("haproxy", 7300)?;
        at("haproxy", 7400)?;
        Ok(Self {
            services: compose["services"].clone(),
            addresses,
            running: BTreeMap::new(),
            sandbox: Sandbox::new("compose")?,
        })
    }

    fn address_of(&self, name: &str) -> Result<SocketAddr> {
        self.addresses
            .get(name)
            .copied()
            .with_context(|| name.to_owned())
    }

    /// Replaces the names in an argument of a service by local addresses.
    fn localize(&self, service: &str, argument: &str) -> String {
        let mut here = argument.to_owned();
        for (name, address) in &self.addresses {
            here = here.replace(name, &address.to_string());
            if let Some(own) = name.strip_prefix(&format!("{service}:")) {
                here = here.replace(&format!("0.0.0.0:{own}"), &address.to_string());
            }
        }
        let join = self.sandbox.join("join").display().to_string();
        here.replace("/join/", &format!("{join}/"))
    }

    fn command(&self, service: &str) -> Result<Command> {
        let said = &self.services[service];
        let mut command = Command::new(external_programs::toolgate()?);
        for argument in said["command"].as_array().context("no command")? {
            command.arg(self.localize(service, argument.as_str().unwrap_or_default()));
        }
        for (name, value) in said["environment"].as_object().into_iter().flatten() {
            command.env(
                name,
                self.localize(service, value.as_str().unwrap_or_default()),
            );
        }
        // Local folder of a volume, and loopback as the network.
        let volume = said["volumes"][0].as_str().unwrap_or_default();
        let volume = volume.split(':').next().unwrap_or_default();
        command.env("TOOLGATE_DATA_DIR", self.sandbox.join(volume));
        command.arg("--egress-allow=127.0.0.0/8");
        Ok(command)
    }

    async fn start(&mut self, service: &'static str) -> Result<()> {
        let command = self.command(service)?;
        let process = TestProcess::start(service, self.sandbox.path(), command)?;
        self.running.insert(service, process);
        let url = format!(
            "http://{}/readyz",
            self.address_of(&format!("{service}:7401"))?
        );
        let http = TestHttpClient::default();
        eventually(&format!("{service} is ready"), HANG_GUARD, || async {
            match http.get(&url).await?.status.is_success() {
                true => Ok(()),
                false => bail!("not ready"),
            }
        })
        .await
    }

    /// Runs the script of the service that makes the join files.
    fn join(&self) -> Result<()> {
        let script = self.services["join"]["command"][0]
            .as_str()
            .context("no script")?;
        fs::create_dir_all(self.sandbox.join("join"))?;
        let binary = external_programs::toolgate()?.display().to_string();
        let script = self
            .localize("join", &script.replace("$$", "$"))
            .replace("/usr/bin/toolgate", &binary);
        let output = Command::new("sh")
            .args(["-euc", &script])
            .env("TOOLGATE_DATA_DIR", self.sandbox.join("control-plane"))
            .output()?;
        if !output.status.success() {
            bail!("{script}\n{}", text(&output.stderr));
        }
        Ok(())
    }

    fn start_haproxy(&mut self) -> Result<()> {
        let mut config = read("haproxy/haproxy.cfg")?
            .replace(
                "bind :7300",
                &format!("bind {}", self.address_of("haproxy:7300")?),
            )
            .replace(
                "bind :7400",
                &format!("bind {}", self.address_of("haproxy:7400")?),
            );
        for name in PLANES.into_iter().chain(PROXIES) {
            let private = self.address_of(&format!("{name}:7401"))?.port();
            let lines =
                config
                    .lines()
                    .map(|line| match line.contains(&format!("server {name} ")) {
                        true => line.replace("port 7401", &format!("port {private}")),
                        false => line.to_owned(),
                    });
            config = lines.collect::<Vec<_>>().join("\n");
        }
        for (name, address) in &self.addresses {
            config = config.replace(name, &address.to_string());
        }
        let file = self.sandbox.join("haproxy.cfg");
        fs::write(&file, config + "\n")?;
        let mut command = Command::new(external_programs::program("haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        let process = TestProcess::start("haproxy", self.sandbox.path(), command)?;
        self.running.insert("haproxy", process);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compose_fleet_survives_the_loss_of_one_instance_of_each_service() {
    let mut fleet = ComposeFleet::load().unwrap();
    let etcd = TestEtcdCluster::start(&fleet.sandbox, 1).await.unwrap();
    let member = etcd.endpoints()[0].replace("http://", "");
    fleet
        .addresses
        .insert("etcd:2379".to_owned(), member.parse().unwrap());
    for plane in PLANES {
        fleet.start(plane).await.unwrap();
    }
    fleet.join().unwrap();
    for proxy in PROXIES {
        fleet.start(proxy).await.unwrap();
    }
    fleet.start_haproxy().unwrap();
    let server = UpstreamServer::fixture(&fleet.sandbox, "fixture", &[])
        .await
        .unwrap();
    let token = fs::read_to_string(fleet.sandbox.join("control-plane/admin-token")).unwrap();
    let admin = format!("http://{}", fleet.address_of("haproxy:7400").unwrap());
    let door = format!("http://{}", fleet.address_of("haproxy:7300").unwrap());
    let cli = CommandLine::new(&admin, token.trim(), fleet.sandbox.path()).with_endpoint(&door);
    eventually(
        "the control planes are reached through haproxy",
        HANG_GUARD,
        || async { cli.run(&["get", "gateways"]).await.map(drop) },
    )
    .await
    .unwrap();
    let token = cli.expose("main", server.url(), "single").await.unwrap();
    let list = [
        "tools",
        "list",
        "--gateway",
        "main",
        "--token",
        &token,
        "-o",
        "name",
    ];
    eventually("tools are listed through haproxy", HANG_GUARD, || async {
        cli.run(&list).await.map(drop)
    })
    .await
    .unwrap();

    for lost in ["control-plane-1", "proxy-2"] {
        fleet.running.get_mut(lost).unwrap().kill().unwrap();
    }
    // haproxy notices within two seconds and tries another instance until then.
    eventually("one of each is enough", HANG_GUARD, || async {
        cli.run(&list).await?;
        cli.run(&["get", "gateways"]).await.map(drop)
    })
    .await
    .unwrap();
    for _ in 0..6 {
        cli.run(&list).await.unwrap();
    }
}
