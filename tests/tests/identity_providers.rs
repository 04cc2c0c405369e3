//! Agents call a gateway with tokens of an external identity provider, through the real control plane and proxy.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, within};
use toolgate_tests::http_client::HttpReply;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::token_issuer::TokenIssuer;
use toolgate_tests::toolgate::{CommandLine, ToolgateUp, start_deployment};

const ISSUER: &str = "https://login.example.com/realms/acme";
const AUDIENCE: &str = "toolgate";

/// Reason in the answer to a token whose signature is not proven.
const NOT_VALID: &str = "the token is not valid here";

/// Longest time from the removal of a provider or a key to the end of what it admitted.
const END: Duration = Duration::from_secs(2);

struct IdentityScenario {
    sandbox: Sandbox,
    up: ToolgateUp,
    cli: CommandLine,
    issuer: TokenIssuer,
}

impl IdentityScenario {
    /// Starts a deployment with the provider `corp` and the gateway `office`, which admits its group `mcp`.
    async fn start(name: &str) -> Result<Self> {
        let (sandbox, up, cli) = start_deployment(name).await?;
        let scenario = Self {
            sandbox,
            up,
            cli,
            issuer: TokenIssuer::new(ISSUER, "first")?,
        };
        scenario.apply_provider().await?;
        scenario
            .apply_gateway("office", r#"[{provider: corp, groups: [mcp]}]"#)
            .await?;
        Ok(scenario)
    }

    async fn apply_provider(&self) -> Result<()> {
        let manifest = self.issuer.manifest("corp", AUDIENCE)?;
        self.apply(&manifest).await
    }

    async fn apply_gateway(&self, name: &str, providers: &str) -> Result<()> {
        let head = format!("apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: {name}}}\n");
        let bindings = "  bindings: [{server: demo, allTools: true}]\n";
        self.apply(&format!(
            "{head}spec:\n{bindings}  identityProviders: {providers}\n"
        ))
        .await
    }

    async fn apply(&self, manifest: &str) -> Result<()> {
        let file = self.sandbox.join("manifest.yaml");
        fs::write(&file, manifest)?;
        let file = file.display().to_string();
        self.cli.run(&["apply", "-f", &file]).await.map(drop)
    }

    /// Returns a token of a member of the group `mcp`, with these changes of its claims.
    fn token(&self, key: &str, changes: &Value) -> Result<String> {
        let mut claims = self
            .issuer
            .claims(AUDIENCE, "ada", &json!({"groups": ["dev", "mcp"]}));
        if let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
            claims.extend(changes.clone());
        }
        self.issuer.sign(key, &claims)
    }

    fn agent(&self, gateway: &str, token: &str) -> Agent {
        Agent::modern(&self.up.url(gateway), token)
    }

    async fn reply(&self, gateway: &str, token: &str) -> Result<HttpReply> {
        let agent = self.agent(gateway, token);
        agent.request("tools/list", json!({})).await
    }
}

/// Checks that an answer is a refusal with this status, error and reason.
fn ensure_refused(reply: &HttpReply, status: u16, part: &str) -> Result<()> {
    let challenge = reply.header("www-authenticate").unwrap_or_default();
    ensure!(
        reply.status.as_u16() == status && challenge.contains(part),
        "{} {challenge}: {}",
        reply.status,
        reply.text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_calls_a_gateway_with_a_token_of_the_identity_provider() {
    let scenario = IdentityScenario::start("identity-providers").await.unwrap();
    let token = scenario.token("first", &json!({})).unwrap();
    let agent = scenario.agent("office", &token);
    eventually("the token is accepted", HANG_GUARD, || agent.tools())
        .await
        .unwrap();
    agent
        .call("demo__add", json!({"a": 2, "b": 3}))
        .await
        .unwrap();
    let legacy = Agent::legacy(&scenario.up.url("office"), &token)
        .await
        .unwrap();
    legacy
        .call("demo__add", json!({"a": 2, "b": 3}))
        .await
        .unwrap();
    let logged = scenario
        .cli
        .run(&["logs", "office", "--follow=false"])
        .await
        .unwrap();
    let logged = String::from_utf8(logged.stdout).unwrap();
    assert!(logged.contains("idp:corp:ada"), "{logged}");

    // An applied document changes nothing when it is applied again.
    scenario.apply_provider().await.unwrap();
    let file = scenario.sandbox.join("manifest.yaml").display().to_string();
    scenario.cli.run(&["diff", "-f", &file]).await.unwrap();

    // The token opens no other gateway, and no admin API.
    scenario.apply_gateway("closed", "[]").await.unwrap();
    let bearer = scenario.cli.token("all", &[]).await.unwrap();
    let closed = scenario.agent("closed", &bearer);
    eventually("the gateway exists", HANG_GUARD, || closed.tools())
        .await
        .unwrap();
    for gateway in ["closed", "absent"] {
        let reply = scenario.reply(gateway, &token).await.unwrap();
        ensure_refused(&reply, 401, NOT_VALID).unwrap();
    }
    let admin = scenario.cli.clone().with_token(&token);
    admin.fails(&["get", "gateways"]).await.unwrap();
    // An API token is accepted beside the provider.
    scenario.agent("office", &bearer).tools().await.unwrap();
}

/// Returns tokens that are refused, each with the status and the reason.
fn refused_tokens(
    scenario: &IdentityScenario,
    good: &str,
) -> Result<Vec<(String, u16, &'static str)>> {
    let mut stranger = TokenIssuer::new(ISSUER, "first")?;
    stranger.add_key("other")?;
    let claims = scenario
        .issuer
        .claims(AUDIENCE, "ada", &json!({"groups": ["mcp"]}));
    let of = |changes: Value| scenario.token("first", &changes);
    let (signed, _) = good.rsplit_once('.').context("a token has three parts")?;
    // Accepted by a verifier that takes the PEM text of the public key for a shared secret.
    let secret = scenario.issuer.public_pem("first")?;
    let header = jsonwebtoken::Header {
        kid: Some("first".to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    let secret = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes())?;
    let hmac = jsonwebtoken::encode(&header, &claims, &secret);
    Ok(vec![
        (stranger.sign("first", &claims)?, 401, "token_signature"),
        (format!("{signed}.AAAA"), 401, "token_signature"),
        (stranger.sign("other", &claims)?, 401, "token_unknown_key"),
        (hmac?, 401, "token_algorithm"),
        (
            of(json!({"iss": "https://eve.example"}))?,
            401,
            "token_unknown_issuer",
        ),
        (of(json!({"aud": "another"}))?, 401, "token_audience"),
        (of(json!({"exp": 1}))?, 401, "token_expired"),
        (
            of(json!({"nbf": 9_000_000_000_u64}))?,
            401,
            "token_not_yet_valid",
        ),
        (of(json!({"sub": ""}))?, 401, "token_subject"),
        (of(json!({"groups": ["dev"]}))?, 403, "token_requirement"),
        (format!("{signed}."), 401, "token_malformed"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn oa_07_each_refused_token_gets_its_reason_in_the_answer_and_in_the_records() {
    let scenario = IdentityScenario::start("identity-reasons").await.unwrap();
    let good = scenario.token("first", &json!({})).unwrap();
    let agent = scenario.agent("office", &good);
    eventually("the token is accepted", HANG_GUARD, || agent.tools())
        .await
        .unwrap();
    let cases = refused_tokens(&scenario, &good).unwrap();
    let mut descriptions = std::collections::BTreeSet::new();
    for (token, status, kind) in &cases {
        let reply = scenario.reply("office", token).await.unwrap();
        let error = if *status == 403 {
            "insufficient_scope"
        } else {
            "invalid_token"
        };
        ensure_refused(&reply, *status, &format!("error=\"{error}\"")).unwrap();
        let challenge = reply.header("www-authenticate").unwrap().to_owned();
        assert!(!challenge.contains(ISSUER), "{kind}: {challenge}");
        // Before the signature is proven, there is one answer, which is also that of a gateway that does not exist.
        let is_unproven = [
            "token_signature",
            "token_unknown_key",
            "token_algorithm",
            "token_unknown_issuer",
        ]
        .contains(kind);
        assert_eq!(challenge.contains(NOT_VALID), is_unproven, "{kind}");
        if is_unproven {
            let absent = scenario.reply("absent", token).await.unwrap();
            assert_eq!(absent.status, reply.status, "{kind}");
            assert_eq!(absent.text(), reply.text(), "{kind}");
            let absent = absent.header("www-authenticate").unwrap();
            assert_eq!(absent, challenge, "{kind}");
        }
        descriptions.insert(challenge);
    }
    // Five of the tokens are unproven.
    assert_eq!(descriptions.len(), cases.len() - 4, "{descriptions:?}");
    // Without a token, and with a token of an unknown form, no reason is given.
    for token in ["", "archestra_x", "a.b.c"] {
        let reply = scenario.reply("office", token).await.unwrap();
        ensure_refused(&reply, 401, "Bearer realm").unwrap();
        assert!(!reply.header("www-authenticate").unwrap().contains("error"));
    }
    // Few requests without a caller are recorded in a second.
    for (token, _, kind) in &cases {
        eventually("the reason is recorded", HANG_GUARD, || async {
            scenario.reply("office", token).await?;
            let arguments = ["logs", "office", "--follow=false", "--failed", "-o", "json"];
            let logged = scenario.cli.run(&arguments).await?;
            ensure!(String::from_utf8(logged.stdout)?.contains(kind), "{kind}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oa_08_a_rotation_refuses_no_good_token_and_a_removed_key_ends_what_it_admitted() {
    let mut scenario = IdentityScenario::start("identity-rotation").await.unwrap();
    let old = scenario.token("first", &json!({})).unwrap();
    let agent = scenario.agent("office", &old);
    eventually("the token is accepted", HANG_GUARD, || agent.tools())
        .await
        .unwrap();
    scenario.issuer.add_key("second").unwrap();
    scenario.apply_provider().await.unwrap();
    let new = scenario.token("second", &json!({})).unwrap();
    let later = scenario.agent("office", &new);
    eventually("the new key is known", HANG_GUARD, || later.tools())
        .await
        .unwrap();
    agent.tools().await.unwrap();
    let mut ended = agent.listen().await.unwrap();
    let mut kept = later.listen().await.unwrap();

    scenario.issuer.remove_key("first");
    scenario.apply_provider().await.unwrap();
    ended.read_to_end(within(END)).await.unwrap();
    let reply = scenario.reply("office", &old).await.unwrap();
    ensure_refused(&reply, 401, NOT_VALID).unwrap();
    later.tools().await.unwrap();

    // A gateway that no longer admits the provider ends the rest.
    scenario.apply_gateway("office", "[]").await.unwrap();
    kept.read_to_end(within(END)).await.unwrap();
    let reply = scenario.reply("office", &new).await.unwrap();
    ensure_refused(&reply, 401, NOT_VALID).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_cannot_admit_a_provider_and_one_in_use_is_not_deleted() {
    let scenario = IdentityScenario::start("identity-rights").await.unwrap();
    let editor = scenario
        .cli
        .token("editor", &["--no-gateways", "--role", "editor"])
        .await
        .unwrap();
    let editor = scenario.cli.clone().with_token(&editor);
    let file = scenario.sandbox.join("manifest.yaml").display().to_string();
    // Nothing changes who may enter.
    editor.run(&["apply", "-f", &file]).await.unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let wider = text.replace(", groups: [mcp]", "");
    fs::write(&file, wider).unwrap();
    let (_, error) = editor.fails(&["apply", "-f", &file]).await.unwrap();
    assert!(error.contains("spec.identityProviders"), "{error}");
    scenario.cli.run(&["apply", "-f", &file]).await.unwrap();
    let (_, error) = scenario
        .cli
        .fails(&["delete", "idp", "corp"])
        .await
        .unwrap();
    assert!(error.contains("office"), "{error}");
    scenario
        .cli
        .run(&["delete", "gateway", "office"])
        .await
        .unwrap();
    scenario.cli.run(&["delete", "idp", "corp"]).await.unwrap();
}
