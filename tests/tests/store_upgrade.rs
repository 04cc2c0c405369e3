//! Upgrades: a data folder written by an earlier build is opened, read and written on by this one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::eventually;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

/// Guards against hanging; nothing here depends on how long it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without the demo, which would write its own objects anew at each start.
const FLAGS: &[&str] = &["--no-demo", "--log", "info"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/store-1")
        .join(name)
}

fn read_fixture(name: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(fixture(name))?)?)
}

fn bearer_token(name: &str) -> Result<String> {
    let tokens = read_fixture("tokens.json")?;
    let token = tokens[name].as_str().context("no such token")?;
    Ok(token.to_owned())
}

/// Starts this build on the data folder of the earlier one.
async fn upgraded(sandbox: &Sandbox) -> Result<ToolgateUp> {
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(fixture("data.tar.gz"))
        .arg("-C")
        .arg(sandbox.path())
        .status()?;
    ensure!(unpacked.success(), "tar failed");
    ToolgateUp::start(sandbox, FLAGS).await
}

/// Objects of a kind, without their status.
async fn objects(up: &ToolgateUp, kind: &str) -> Result<Vec<Value>> {
    let printed = up.cli()?.json(&["get", kind]).await?;
    let printed = printed.as_array().context("no list")?;
    let desired = |object: &Value| {
        let mut kept = Map::new();
        let mut metadata = object["metadata"].clone();
        // Earlier builds wrote none.
        let uid = metadata.as_object_mut().and_then(|it| it.remove("uid"));
        assert!(uid.is_some(), "{metadata} has no uid");
        kept.insert("metadata".to_owned(), metadata);
        let spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
        kept.insert("spec".to_owned(), spec);
        Value::Object(kept)
    };
    Ok(printed.iter().map(desired).collect())
}

async fn object(up: &ToolgateUp, kind: &str, id: &str) -> Result<Value> {
    let all = objects(up, kind).await?;
    let ends = |object: &&Value| {
        let name = object["metadata"]["name"].as_str();
        name.is_some_and(|name| name == id || name.ends_with(&format!("/{id}")))
    };
    all.iter().find(ends).cloned().context("no such object")
}

async fn status(up: &ToolgateUp, token: &str) -> Result<u16> {
    let agent = Agent::modern(&up.url("tools"), token);
    Ok(agent
        .request("tools/list", json!({}))
        .await?
        .status
        .as_u16())
}

/// Fails if a file of the proxy was set aside as unusable.
fn ensure_proxy_files_are_usable(up: &ToolgateUp) -> Result<()> {
    for entry in std::fs::read_dir(up.data().join("proxy"))? {
        let name = entry?.file_name();
        let name = name.to_string_lossy().into_owned();
        ensure!(!name.ends_with(".bad"), "{name} was set aside");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_an_earlier_build_reads_back_unchanged() {
    let sandbox = Sandbox::new("upgrade-read").unwrap();
    let mut up = upgraded(&sandbox).await.unwrap();
    let written = read_fixture("objects.json").unwrap();
    for (kind, expected) in written.as_object().unwrap() {
        let found = objects(&up, kind).await.unwrap();
        assert_eq!(&Value::Array(found), expected, "{kind}");
    }
    ensure_proxy_files_are_usable(&up).unwrap();
    let log = up.process().stderr();
    assert!(log.contains("serving the last good configuration"), "{log}");
    assert!(!log.contains("damaged"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_earlier_build_work_and_revoked_ones_do_not() {
    let sandbox = Sandbox::new("upgrade-tokens").unwrap();
    let up = upgraded(&sandbox).await.unwrap();
    // The proxy serves its last good configuration before the control plane has sent one.
    let laptop = Agent::modern(&up.url("tools"), &bearer_token("laptop").unwrap());
    let tools = laptop.tools().await.unwrap();
    assert!(tools.contains(&"demo__add".to_owned()), "{tools:?}");
    let robot = Agent::modern(&up.url("tools"), &bearer_token("robot").unwrap());
    assert_eq!(robot.tools().await.unwrap(), ["demo__add"]);
    for revoked in ["crew", "gone"] {
        let token = bearer_token(revoked).unwrap();
        assert_eq!(status(&up, &token).await.unwrap(), 401, "{revoked}");
    }
}

/// Documents that change one object of each kind that has documents.
const CHANGES: &str = "\
apiVersion: toolgate/v1
kind: Organization
metadata: {name: default, displayName: Changed}
---
apiVersion: toolgate/v1
kind: Credential
metadata: {name: weather-key, displayName: Other key}
spec:
  hosts: ['http://127.0.0.1:9', 'http://127.0.0.1:19']
  staticHeader: {header: x-key, value: another-secret}
---
apiVersion: toolgate/v1
kind: Server
metadata: {name: weather, labels: {team: meteo}}
spec:
  endpoints:
    - {url: 'http://127.0.0.1:9/mcp', region: eu}
    - {url: 'http://127.0.0.1:19/mcp'}
  credential: weather-key
---
apiVersion: toolgate/v1
kind: Gateway
metadata: {name: found}
spec:
  description: Changed
  listing: TOOL_LISTING_PROGRESSIVE
  bindings: [{server: demo, allTools: true}]
";

/// The server of the fixture, which refers to a credential of the earlier build, at another endpoint.
const REPOINTED: &str = "\
apiVersion: toolgate/v1
kind: Server
metadata: {name: weather}
spec: {url: 'http://127.0.0.1:19/mcp', credential: weather-key}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_an_earlier_build_goes_nowhere_else_until_it_has_hosts() {
    let sandbox = Sandbox::new("upgrade-unbound").unwrap();
    let up = upgraded(&sandbox).await.unwrap();
    let file = sandbox.join("repointed.yaml");
    std::fs::write(&file, REPOINTED).unwrap();
    let cli = up.cli().unwrap();
    let apply = ["apply", "-f", file.to_str().unwrap()];
    let (_code, refused) = cli.fails(&apply).await.unwrap();
    assert!(refused.contains("is not bound to hosts"), "{refused}");
    let listed = cli.run(&["get", "credentials"]).await.unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("not bound"), "{listed}");
    let server = object(&up, "servers", "weather").await.unwrap();
    assert_eq!(server["spec"]["credential"], "weather-key");
    assert_eq!(server["spec"]["url"], "http://127.0.0.1:9/mcp");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_write_the_new_form_which_a_second_start_reads() {
    let sandbox = Sandbox::new("upgrade-write").unwrap();
    let mut up = upgraded(&sandbox).await.unwrap();
    let file = sandbox.join("changes.yaml");
    std::fs::write(&file, CHANGES).unwrap();
    let cli = up.cli().unwrap();
    cli.run(&["apply", "-f", file.to_str().unwrap()])
        .await
        .unwrap();
    cli.run(&["token", "revoke", "robot"]).await.unwrap();
    let fresh = cli.token("fresh", &["--gateway", "tools"]).await.unwrap();
    let robot = bearer_token("robot").unwrap();
    eventually("the tokens are in force", PATIENCE, || async {
        ensure!(status(&up, &fresh).await? == 200);
        ensure!(status(&up, &robot).await? == 401);
        Ok(())
    })
    .await
    .unwrap();

    let mut kept = Vec::new();
    for kind in [
        "organizations",
        "gateways",
        "servers",
        "credentials",
        "tokens",
    ] {
        kept.push((kind, objects(&up, kind).await.unwrap()));
    }
    up.restart(FLAGS).await.unwrap();
    for (kind, before) in kept {
        assert_eq!(objects(&up, kind).await.unwrap(), before, "{kind}");
    }
    let server = object(&up, "servers", "weather").await.unwrap();
    assert_eq!(
        server["spec"]["endpoints"],
        json!([
            {"url": "http://127.0.0.1:9/mcp", "region": "eu"},
            {"url": "http://127.0.0.1:19/mcp"},
        ])
    );
    assert!(server["spec"].get("url").is_none(), "{server}");
    let organization = object(&up, "organizations", "organizations/default")
        .await
        .unwrap();
    assert_eq!(organization["metadata"]["displayName"], "Changed");
    let credential = object(&up, "credentials", "weather-key").await.unwrap();
    assert_eq!(credential["spec"]["staticHeader"]["header"], "x-key");
    for (token, expected) in [
        (&fresh, 200),
        (&bearer_token("laptop").unwrap(), 200),
        (&robot, 401),
        (&bearer_token("gone").unwrap(), 401),
    ] {
        assert_eq!(status(&up, token).await.unwrap(), expected);
    }
    ensure_proxy_files_are_usable(&up).unwrap();
}
