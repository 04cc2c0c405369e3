//! The key that seals secrets is changed while secrets are used, by a control plane that is killed again and again.
#![expect(clippy::unwrap_used, reason = "scenarios")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess};
use toolgate_tests::upstream_server::UpstreamServer;

/// Servers, each with a credential of its own.
const SERVERS: usize = 100;

/// Kills of the control plane that seals everything again.
const KILLS: usize = 5;

/// Rotations that are begun at most until a kill meets one.
const ROTATIONS: usize = 5;

fn documents(server: &UpstreamServer) -> String {
    let mut all = String::new();
    let origin = format!("http://{}", server.address());
    for number in 0..SERVERS {
        all.push_str(&format!(
            "---\napiVersion: toolgate/v1\nkind: Credential\nmetadata:\n  name: c-{number}\nspec:\n  hosts: ['{origin}']\n  \
             staticHeader:\n    header: Authorization\n    value: Bearer secret-{number}\n\
             ---\napiVersion: toolgate/v1\nkind: Server\nmetadata:\n  name: s-{number}\nspec:\n  url: {}\n  \
             credential: c-{number}\n  era: modern\n",
            server.url()
        ));
    }
    all.push_str(
        "---\napiVersion: toolgate/v1\nkind: Gateway\nmetadata:\n  name: all\nspec:\n  prefix: always\n  bindings:\n",
    );
    for number in 0..SERVERS {
        all.push_str(&format!("    - {{server: s-{number}, tools: [headers]}}\n"));
    }
    all
}

/// Calls a server, which has to get its own credential.
async fn call(agent: &Agent, number: usize) -> Result<()> {
    let result = agent
        .call(&format!("s-{number}__headers"), json!({}))
        .await?;
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    let headers: Value = serde_json::from_str(text).unwrap_or_default();
    let expected = format!("Bearer secret-{number}");
    ensure!(headers["authorization"] == expected, "{number}: {result}");
    Ok(())
}

async fn call_all(agent: &Agent) -> Result<()> {
    for number in 0..SERVERS {
        eventually("a call", HANG_GUARD, || call(agent, number)).await?;
    }
    Ok(())
}

/// Keys of the credentials.
const CREDENTIALS: &str = "/toolgate/v1/desired/default/credential/";

fn holds(value: &[u8], key: &str) -> bool {
    memchr::memmem::find(value, key.as_bytes()).is_some()
}

/// Number of credentials in the store that are sealed with this key.
async fn sealed_with(etcd: &TestEtcdCluster, key: &str) -> Result<usize> {
    let records = etcd.values(CREDENTIALS).await?;
    Ok(records.iter().filter(|record| holds(record, key)).count())
}

/// Id of the only key of a key file.
fn key_id(file: &str) -> &str {
    file.split_whitespace().next().unwrap()
}

/// Calls without a pause until `ended`; returns the number of calls and the failures.
async fn load(agent: Arc<Agent>, ended: Arc<AtomicBool>, calls: Arc<AtomicUsize>) -> Vec<String> {
    let mut failures = Vec::new();
    let mut number = 0;
    while !ended.load(Ordering::Relaxed) {
        if let Err(error) = call(&agent, number).await {
            failures.push(format!("{error:#}"));
        }
        calls.fetch_add(1, Ordering::Relaxed);
        number = (number + 1) % SERVERS;
    }
    failures
}

struct RotationScenario {
    sandbox: Sandbox,
    etcd: TestEtcdCluster,
    _server: UpstreamServer,
    plane: ControlPlaneProcess,
    proxy: ProxyProcess,
    token: String,
}

impl RotationScenario {
    async fn start() -> Result<Self> {
        let sandbox = Sandbox::new("key-rotation")?;
        let etcd = TestEtcdCluster::start(&sandbox, 1).await?;
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[]).await?;
        let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints()).await?;
        let proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane).await?;
        let cli: CommandLine = plane.cli()?;
        let file = sandbox.join("servers.yaml");
        fs::write(&file, documents(&server))?;
        cli.run(&["apply", "-f", &file.display().to_string()])
            .await?;
        let token = cli.token("caller", &["--gateway", "all"]).await?;
        let scenario = Self {
            sandbox,
            etcd,
            _server: server,
            plane,
            proxy,
            token,
        };
        let agent = scenario.agent();
        eventually("all tools are listed", HANG_GUARD, || async {
            let listed = agent.tools().await?.len();
            ensure!(listed == SERVERS, "{listed}");
            Ok(())
        })
        .await?;
        Ok(scenario)
    }

    fn agent(&self) -> Agent {
        Agent::modern(&self.proxy.url("all"), &self.token)
    }

    fn write_keys(&self, lines: &[String]) -> Result<()> {
        let mut file = lines.join("\n");
        file.push('\n');
        Ok(fs::write(self.plane.data().join("key"), file)?)
    }

    /// Kills the control plane again and again while it seals everything with the key of this id. Returns the number of kills
    /// that met it before the last record.
    async fn kill_while_sealing(&mut self, new: &str) -> Result<usize> {
        let (mut last, mut in_the_middle) = (0, 0);
        for _ in 0..KILLS {
            self.plane.launch_again(&[])?;
            // Killed in the middle: some more records are sealed with the new key, and not all of them.
            let wanted = SERVERS.min(last + SERVERS / (KILLS + 1));
            eventually("more is sealed with the new key", HANG_GUARD, || async {
                let found = sealed_with(&self.etcd, new).await?;
                ensure!(found >= wanted, "{found} of {wanted}");
                Ok(())
            })
            .await?;
            self.plane.kill()?;
            last = sealed_with(&self.etcd, new).await?;
            if last == SERVERS {
                break;
            }
            in_the_middle += 1;
        }
        Ok(in_the_middle)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn se_03_a_rotation_under_load_that_is_killed_five_times_fails_no_call_and_is_completed() {
    let mut scenario = RotationScenario::start().await.unwrap();
    let agent = Arc::new(scenario.agent());
    call_all(&agent).await.unwrap();
    let old = fs::read_to_string(scenario.plane.data().join("key")).unwrap();
    let mut keys = vec![old.trim().to_owned()];
    let sealed = sealed_with(&scenario.etcd, key_id(&old)).await.unwrap();
    assert_eq!(sealed, SERVERS);

    let (ended, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut under_load = JoinSet::new();
    under_load.spawn(load(agent, Arc::clone(&ended), Arc::clone(&calls)));
    let mut in_the_middle = 0;
    // A machine may seal everything between two looks at the store: the next rotation follows.
    while in_the_middle == 0 && keys.len() <= ROTATIONS {
        let number = keys.len();
        let key = format!("key-{number} {}", format!("{number}a").repeat(32));
        keys.insert(0, key);
        scenario.write_keys(&keys).unwrap();
        in_the_middle = scenario.kill_while_sealing(key_id(&keys[0])).await.unwrap();
    }
    println!(
        "{in_the_middle} of {KILLS} kills met the rotation with {} keys",
        keys.len()
    );
    assert!(in_the_middle > 0, "no kill met the rotation");
    let new = keys[0].clone();
    scenario.plane.restart().await.unwrap();
    eventually("all is sealed with the new key", HANG_GUARD, || async {
        let sealed = sealed_with(&scenario.etcd, key_id(&new)).await?;
        ensure!(sealed == SERVERS, "{sealed}");
        Ok(())
    })
    .await
    .unwrap();
    let done = calls.load(Ordering::Relaxed);
    eventually("the load goes on", HANG_GUARD, || async {
        ensure!(calls.load(Ordering::Relaxed) > done + SERVERS);
        Ok(())
    })
    .await
    .unwrap();
    ended.store(true, Ordering::Relaxed);
    let failures = under_load.join_next().await.unwrap().unwrap();
    assert_eq!(failures, Vec::<String>::new());

    // The old key can be removed: a proxy that has no credentials yet gets all of them.
    scenario.write_keys(&keys[..1]).unwrap();
    scenario.plane.restart().await.unwrap();
    let fresh = ProxyProcess::join(&scenario.sandbox, "proxy-2", &scenario.plane)
        .await
        .unwrap();
    let agent = Agent::modern(&fresh.url("all"), &scenario.token);
    call_all(&agent).await.unwrap();
    // Nothing at all in the store names an old key, the keys of the deployment included.
    let records = scenario.etcd.list("/toolgate").await.unwrap();
    for old in &keys[1..] {
        let mut rest = records
            .iter()
            .filter(|(_, value)| holds(value, key_id(old)));
        assert_eq!(rest.next(), None);
    }
}
