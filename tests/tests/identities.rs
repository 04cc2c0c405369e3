//! Identities: a gateway or a token made again under a name is another one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::eventually;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{ToolgateUp, text};
use toolgate_tests::upstream_server::UpstreamServer;

/// Guards against hanging; nothing here depends on how long it takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct IdentityScenario {
    up: ToolgateUp,
    _server: UpstreamServer,
    _sandbox: Sandbox,
}

impl IdentityScenario {
    async fn start(name: &str) -> Result<Self> {
        let sandbox = Sandbox::new(name)?;
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[]).await?;
        let up = ToolgateUp::start(&sandbox, &["--no-demo"]).await?;
        let cli = up.cli()?;
        cli.run(&["server", "add", "files", "--url", server.url()])
            .await?;
        let scenario = Self {
            up,
            _server: server,
            _sandbox: sandbox,
        };
        scenario.create_gateway("tools").await?;
        Ok(scenario)
    }

    async fn create_gateway(&self, id: &str) -> Result<()> {
        let cli = self.up.cli()?;
        cli.run(&["gateway", "create", id, "--server", "files"])
            .await?;
        Ok(())
    }

    async fn create_token(&self, id: &str) -> Result<String> {
        let arguments = ["token", "create", id, "--gateway", "tools"];
        let made = self.up.cli()?.json(&arguments).await?;
        let secret = made["token"].as_str().or_else(|| made["secret"].as_str());
        Ok(secret.with_context(|| made.to_string())?.to_owned())
    }

    async fn delete(&self, kind: &str, id: &str) -> Result<()> {
        self.up.cli()?.run(&["delete", kind, id]).await?;
        Ok(())
    }

    async fn uid(&self, kind: &str, id: &str) -> Result<String> {
        let printed = self.up.cli()?.run(&["get", kind, id, "-o", "yaml"]).await?;
        let printed = text(&printed.stdout);
        let mut lines = printed.lines().map(str::trim);
        let uid = lines.find_map(|line| line.strip_prefix("uid: "));
        Ok(uid.with_context(|| printed.clone())?.to_owned())
    }

    async fn status(&self, token: &str) -> Result<u16> {
        let agent = Agent::modern(&self.up.url("tools"), token);
        let reply = agent.request("tools/list", json!({})).await?;
        Ok(reply.status.as_u16())
    }

    async fn wait_for_status(&self, token: &str, expected: u16) -> Result<()> {
        eventually("the status is that", PATIENCE, || async {
            let found = self.status(token).await?;
            ensure!(found == expected, "{found} instead of {expected}");
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_gateways_token_does_not_open_a_new_gateway_of_that_name_and_is_told_why() {
    let scenario = IdentityScenario::start("identity-gateway").await.unwrap();
    let old = scenario.create_token("ci").await.unwrap();
    scenario.wait_for_status(&old, 200).await.unwrap();
    let first = scenario.uid("gateway", "tools").await.unwrap();
    scenario.delete("gateway", "tools").await.unwrap();
    scenario.wait_for_status(&old, 404).await.unwrap();
    scenario.create_gateway("tools").await.unwrap();
    assert_ne!(scenario.uid("gateway", "tools").await.unwrap(), first);
    let new = scenario.create_token("next").await.unwrap();
    // Once the new token is served, the new gateway is, and it stays closed for the old one.
    scenario.wait_for_status(&new, 200).await.unwrap();
    assert_eq!(scenario.status(&old).await.unwrap(), 404);
    let cli = scenario.up.cli().unwrap();
    let reason = "gateway tools was deleted and created again after the token was given it";
    let described = cli.run(&["describe", "token", "ci"]).await.unwrap();
    let described = text(&described.stdout);
    assert!(described.contains(reason), "{described}");
    let doctor = cli.output(&["doctor"]).await.unwrap();
    let doctor = text(&doctor.stdout);
    assert!(doctor.contains(reason), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_made_again_under_its_name_does_not_continue_sessions_of_the_first() {
    let scenario = IdentityScenario::start("identity-token").await.unwrap();
    let first = scenario.create_token("ci").await.unwrap();
    scenario.wait_for_status(&first, 200).await.unwrap();
    let agent = Agent::legacy(&scenario.up.url("tools"), &first)
        .await
        .unwrap();
    let uid = scenario.uid("token", "ci").await.unwrap();
    scenario.delete("token", "ci").await.unwrap();
    let second = scenario.create_token("ci").await.unwrap();
    scenario.wait_for_status(&second, 200).await.unwrap();
    assert_ne!(scenario.uid("token", "ci").await.unwrap(), uid);
    let frame = agent.frame("tools/list", json!({}));
    let bearer = format!("Bearer {second}");
    let other = agent
        .post(&frame, &[("authorization", &bearer)])
        .await
        .unwrap();
    assert_eq!(other.status.as_u16(), 404, "{}", other.text());
}
