//! Secrets are contained: credentials for servers are never stored or logged in plain text, and tokens of clients are
//! never forwarded.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::etcd_cluster::TestEtcdCluster;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ControlPlaneProcess, ProxyProcess, ToolgateUp};
use toolgate_tests::upstream_server::UpstreamServer;

const CANARY: &str = "canary-7f3a91c4e5d2b8600b1d";

/// The canary in base64, at every alignment.
const ENCODED: [&str; 3] = [
    "Y2FuYXJ5LTdmM2E5MWM0ZTVkMmI4NjAwYjFk",
    "jYW5hcnktN2YzYTkxYzRlNWQyYjg2MDBiMW",
    "hbmFyeS03ZjNhOTFjNGU1ZDJiODYwMGIxZ",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// Files that contain one of these texts, plain, in base64 or in hex.
fn files_containing(folder: &Path, secrets: &[&str]) -> Vec<String> {
    let mut needles: Vec<String> = ENCODED.iter().map(|text| (*text).to_owned()).collect();
    for secret in secrets {
        needles.push((*secret).to_owned());
        needles.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
    }
    let mut found = Vec::new();
    for path in files(folder) {
        let bytes = fs::read(&path).unwrap_or_default();
        // etcd preallocates its log with zeros.
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let bytes = &bytes[..end];
        for needle in &needles {
            if bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
            {
                found.push(format!("{}: {needle}", path.display()));
            }
        }
    }
    found
}

/// Headers that the server gets when `agent` calls it.
async fn headers_at_server(agent: &Agent) -> anyhow::Result<Value> {
    let result = agent.call("headers", json!({})).await?;
    let text = result["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    Ok(serde_json::from_str(&text)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gets_the_credential_and_not_the_callers_token() {
    let sandbox = Sandbox::new("credential").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let up = ToolgateUp::start(&sandbox, &["--log", "trace"])
        .await
        .unwrap();
    let cli = up.cli().unwrap();
    let header = format!("Authorization=Bearer {CANARY}");
    let add = [
        "server",
        "add",
        "guarded",
        "--url",
        server.url(),
        "--header",
        &header,
    ];
    cli.run(&add).await.unwrap();
    cli.run(&[
        "gateway", "create", "guarded", "--server", "guarded", "--prefix", "single",
    ])
    .await
    .unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let modern = Agent::modern(&up.url("guarded"), &token);
    let headers = eventually("a call", HANG_GUARD, || headers_at_server(&modern))
        .await
        .unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {CANARY}"));
    assert!(
        !headers.to_string().contains(&token),
        "the caller's token was passed on: {headers}"
    );
    let legacy = Agent::legacy(&up.url("guarded"), &token).await.unwrap();
    let headers = headers_at_server(&legacy).await.unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {CANARY}"));
    assert!(
        !headers.to_string().contains(&token),
        "the caller's token was passed on: {headers}"
    );
    let shown = cli
        .run(&["get", "credentials", "-o", "yaml"])
        .await
        .unwrap()
        .stdout;
    assert!(
        !String::from_utf8_lossy(&shown).contains(CANARY),
        "the API shows the secret"
    );
    assert_eq!(
        files_containing(sandbox.path(), &[CANARY, &token]),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn store_and_disks_of_a_fleet_contain_no_plain_secret() {
    let sandbox = Sandbox::new("at-rest").unwrap();
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
    let header = format!("Authorization=Bearer {CANARY}");
    let add = [
        "server",
        "add",
        "guarded",
        "--url",
        server.url(),
        "--header",
        &header,
    ];
    cli.run(&add).await.unwrap();
    cli.run(&[
        "gateway", "create", "guarded", "--server", "guarded", "--prefix", "single",
    ])
    .await
    .unwrap();
    let token = cli.token("caller", &[]).await.unwrap();
    let agent = Agent::modern(&proxy.url("guarded"), &token);
    let headers = eventually("a call", HANG_GUARD, || headers_at_server(&agent))
        .await
        .unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {CANARY}"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        files(sandbox.path()).len() > 5,
        "there is something to search"
    );
    assert_eq!(
        files_containing(sandbox.path(), &[CANARY, &token]),
        Vec::<String>::new()
    );
}
