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
        let up = ToolgateUp::start(&sandbox, &["--no-demo", "--log", "info"]).await?;
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

/// Text of the events about refused session ids.
const REFUSED: &str = "a session id is refused";

/// Sends a ping of the legacy era with this session id and this token; returns the status.
async fn use_session(agent: &Agent, session: &str, token: &str) -> Result<u16> {
    let frame = agent.frame("ping", json!({}));
    let bearer = match token {
        "" => String::new(),
        token => format!("Bearer {token}"),
    };
    let changes = [("mcp-session-id", session), ("authorization", &*bearer)];
    let reply = agent.post(&frame, &changes).await?;
    Ok(reply.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn ti_04_each_refused_use_of_a_session_id_is_recorded_without_the_id() {
    let mut scenario = IdentityScenario::start("session-events").await.unwrap();
    scenario.create_gateway("other").await.unwrap();
    let (owner, thief) = (
        scenario.create_token("owner").await.unwrap(),
        scenario.create_token("thief").await.unwrap(),
    );
    for token in [&owner, &thief] {
        scenario.wait_for_status(token, 200).await.unwrap();
    }
    let url = scenario.up.url("tools");
    let legacy = Agent::legacy(&url, &owner).await.unwrap();
    let mine = legacy.session().unwrap().to_owned();
    let events = |scenario: &mut IdentityScenario| -> Vec<String> {
        let log = scenario.up.process().stderr();
        let events = log.lines().filter(|line| line.contains(REFUSED));
        events.map(str::to_owned).collect()
    };
    let used = async |session: &str, token: &str| use_session(&legacy, session, token).await;
    assert_eq!(used(&mine, &owner).await.unwrap(), 200);
    assert_eq!(events(&mut scenario), Vec::<String>::new());

    // Another principal, an id that was made up, and the owner after the end of the session.
    for session in [&mine, "made-up"] {
        assert_eq!(used(session, &thief).await.unwrap(), 404);
    }
    legacy.delete().await.unwrap();
    assert_eq!(used(&mine, &owner).await.unwrap(), 404);
    // No token, an unknown one, and a gateway that the token may not enter.
    for token in ["", "archestra_nobody-has-this"] {
        assert_eq!(used(&mine, token).await.unwrap(), 401);
    }
    let elsewhere = legacy.at_url(&scenario.up.url("other"));
    let status = use_session(&elsewhere, &mine, &owner).await.unwrap();
    assert_eq!(status, 404);
    let recorded = events(&mut scenario);
    assert_eq!(recorded.len(), 6, "{recorded:#?}");
    for (event, principal) in recorded.iter().zip(["thief", "thief", "owner"]) {
        assert!(event.contains("gateway=tools"), "{event}");
        assert!(event.contains(&format!("token:{principal}")), "{event}");
    }
    let digests: Vec<&str> = recorded
        .iter()
        .filter_map(|event| event.split("session=").nth(1)?.split_whitespace().next())
        .collect();
    assert_eq!(digests.len(), 6, "{recorded:#?}");
    let same = digests.iter().filter(|digest| **digest == digests[0]);
    assert_eq!(
        same.count(),
        5,
        "attempts with one id are found: {digests:?}"
    );
    let all = recorded.join("\n");
    assert!(
        recorded
            .iter()
            .all(|event| event.contains("address=127.0.0.1"))
    );
    assert!(!all.contains(&mine) && !all.contains(&owner) && !all.contains(&thief));
}
