//! A deleted organization leaves nothing in the store but its history, and nothing on proxies.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ControlPlaneProcess, ProxyProcess};
use toolgate_tests::upstream_server::UpstreamServer;

/// Id of the organization, and part of all its texts.
const RIVAL: &str = "rival-5b1c";

fn documents(url: &str) -> String {
    let head = |kind: &str, name: &str| {
        format!(
            "---\napiVersion: toolgate/v1\nkind: {kind}\nmetadata: {{name: {name}, organization: {RIVAL}}}\n"
        )
    };
    let mut all =
        format!("apiVersion: toolgate/v1\nkind: Organization\nmetadata: {{name: {RIVAL}}}\n");
    all += &head("Credential", "rival-key");
    all +=
        &format!("spec: {{staticHeader: {{header: Authorization, value: Bearer of-{RIVAL}}}}}\n");
    all += &head("Server", "rival-server");
    all += &format!("spec: {{url: '{url}', credential: rival-key}}\n");
    all += &head("Gateway", "rival-gateway");
    all += "spec: {prefix: single, bindings: [{server: rival-server, allTools: true}]}\n";
    all
}

/// Keys of the store that name the organization, or whose values do, apart from the log of versions.
async fn left_in(etcd: &TestEtcdCluster) -> Result<Vec<String>> {
    let pairs = etcd.list("/toolgate/").await?;
    let names = |(key, value): &(String, Vec<u8>)| {
        let is_history = key.contains("/history/");
        let in_value = memchr::memmem::find(value, RIVAL.as_bytes()).is_some();
        !is_history && (key.contains(RIVAL) || in_value)
    };
    let left = pairs.into_iter().filter(names).map(|(key, _)| key);
    Ok(left.collect())
}

/// Length of a sealed file of the proxy; 0 if there is none.
fn length(data: &Path, file: &str) -> u64 {
    fs::metadata(data.join(file)).map_or(0, |found| found.len())
}

async fn delete(cli: &CommandLine, kind: &str, name: &str) -> Result<()> {
    let arguments = ["delete", kind, name, "-O", RIVAL];
    cli.run(&arguments).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn ti_12_a_deleted_organization_leaves_nothing_in_the_store_and_on_proxies() {
    let sandbox = Sandbox::new("deleted-organization").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 1).await.unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let proxy = ProxyProcess::join(&sandbox, "proxy-1", &plane)
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let file = sandbox.join("rival.yaml");
    fs::write(&file, documents(server.url())).unwrap();
    let file = file.display().to_string();
    cli.run(&["apply", "-f", &file]).await.unwrap();
    let flags = ["-O", RIVAL, "--gateway", "rival-gateway"];
    let token = cli.token("rival-token", &flags).await.unwrap();
    let agent = Agent::modern(&proxy.url("rival-gateway"), &token);
    let called = eventually("a call", HANG_GUARD, || agent.call("headers", json!({})));
    let called = called.await.unwrap();
    assert!(called.to_string().contains(&format!("of-{RIVAL}")));
    let data = sandbox.join("proxy-1");
    let held = eventually("the credential is saved", HANG_GUARD, || async {
        let length = length(&data, "credentials.sealed");
        ensure!(length > 0, "no file");
        Ok(length)
    });
    let held = held.await.unwrap();
    let configured = length(&data, "view.sealed");
    assert!(!left_in(&etcd).await.unwrap().is_empty());

    for (kind, name) in [
        ("gateway", "rival-gateway"),
        ("server", "rival-server"),
        ("credential", "rival-key"),
        ("token", "rival-token"),
    ] {
        delete(&cli, kind, name).await.unwrap();
    }
    let organization = format!("organization/{RIVAL}");
    cli.run(&["delete", &organization]).await.unwrap();
    eventually("nothing is left", HANG_GUARD, || async {
        let left = left_in(&etcd).await?;
        ensure!(left.is_empty(), "{left:#?}");
        let now = length(&data, "credentials.sealed");
        ensure!(now + 40 < held, "{now} of {held} bytes of credentials");
        let answer = agent.call("headers", json!({})).await;
        ensure!(answer.is_err(), "{answer:?}");
        Ok(())
    })
    .await
    .unwrap();
    println!(
        "view.sealed: {configured} bytes, then {}",
        length(&data, "view.sealed")
    );
}
