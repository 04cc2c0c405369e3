//! The control plane follows the keys of identity providers: their discovery, rotations and outages.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, now};
use toolgate_tests::loopback_server::LoopbackServer;
use toolgate_tests::oidc_provider::OidcProvider;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::token_issuer::TokenIssuer;
use toolgate_tests::toolgate::{CommandLine, ToolgateUp, start_deployment, text};

/// Time in which an attempt that fails on a busy machine can be followed by another one, half a minute later.
const FETCH_TIMEOUT: Duration = HANG_GUARD.saturating_mul(2);

/// Documents of a provider; no document stands for an outage.
#[derive(Default)]
struct PublishedDocuments {
    configuration: Mutex<Option<Value>>,
    keys: Mutex<Option<Value>>,
    fetches: AtomicUsize,
}

impl PublishedDocuments {
    fn answer(&self, document: &Mutex<Option<Value>>) -> (StatusCode, String) {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let document = document.lock().unwrap_or_else(PoisonError::into_inner);
        match &*document {
            Some(document) => (StatusCode::OK, document.to_string()),
            None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        }
    }

    fn set_keys(&self, keys: Option<Value>) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn set_configuration(&self, configuration: Option<Value>) {
        let mut held = self
            .configuration
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = configuration;
    }
}

/// Provider that publishes its keys, and a gateway that admits its callers.
struct ProviderScenario {
    sandbox: Sandbox,
    up: ToolgateUp,
    cli: CommandLine,
    published: Arc<PublishedDocuments>,
    issuer: TokenIssuer,
    url: String,
    _server: LoopbackServer,
}

impl ProviderScenario {
    async fn start(name: &str) -> Result<Self> {
        let published = Arc::<PublishedDocuments>::default();
        let (first, second) = (Arc::clone(&published), Arc::clone(&published));
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || first.answer(&first.configuration)),
            )
            .route("/keys", get(async move || second.answer(&second.keys)));
        let server = LoopbackServer::start(router).await?;
        let url = format!("http://{}", server.address());
        let (sandbox, up, cli) = start_deployment(name).await?;
        let scenario = Self {
            issuer: TokenIssuer::new(&url, "first")?,
            sandbox,
            up,
            cli,
            published,
            url,
            _server: server,
        };
        scenario.publish()?;
        let configuration = json!({
            "issuer": scenario.url, "jwks_uri": format!("{}/keys", scenario.url),
        });
        scenario.published.set_configuration(Some(configuration));
        Ok(scenario)
    }

    /// Publishes the keys of the issuer, among keys that Toolgate does not use.
    fn publish(&self) -> Result<()> {
        let mut keys = vec![
            json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB", "x5c": ["x"]}),
        ];
        keys.extend(self.issuer.public_keys()?);
        self.published.set_keys(Some(json!({"keys": keys})));
        Ok(())
    }

    async fn admit(&self, spec: &str) -> Result<()> {
        let head = "apiVersion: toolgate/v1\nkind:";
        let documents = format!(
            "{head} IdentityProvider\nmetadata: {{name: corp}}\nspec:\n  issuer: {}\n  audiences: [toolgate]\n  \
             algorithms: [ES256]\n{spec}---\n{head} Gateway\nmetadata: {{name: office}}\nspec:\n  bindings: \
             [{{server: demo, allTools: true}}]\n  identityProviders: [{{provider: corp}}]\n",
            self.url
        );
        let file = self.sandbox.join("manifest.yaml");
        fs::write(&file, documents)?;
        let file = file.display().to_string();
        self.cli.run(&["apply", "-f", &file]).await.map(drop)
    }

    fn agent(&self, key: &str) -> Result<Agent> {
        let claims = self.issuer.claims("toolgate", "ada", &json!({}));
        let token = self.issuer.sign(key, &claims)?;
        Ok(Agent::modern(&self.up.url("office"), &token))
    }

    async fn status(&self) -> Result<Value> {
        let shown = self.cli.json(&["get", "idp", "corp"]).await?;
        let found = shown.get("status").cloned();
        found.context("no status")
    }

    async fn eventually_failing(&self, part: &str) -> Result<Value> {
        eventually("the status shows the problem", FETCH_TIMEOUT, || async {
            let status = self.status().await?;
            let problem = status["problem"].as_str().unwrap_or_default();
            ensure!(problem.contains(part), "{status}");
            Ok(status)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oa_08_a_rotation_of_a_provider_is_followed_and_an_outage_keeps_its_keys() {
    let mut scenario = ProviderScenario::start("provider-keys").await.unwrap();
    scenario.admit("").await.unwrap();
    let old = scenario.agent("first").unwrap();
    eventually("the keys are found", HANG_GUARD, || old.tools())
        .await
        .unwrap();
    let status = scenario.status().await.unwrap();
    assert_eq!(status["keys"].as_array().unwrap().len(), 1, "{status}");

    scenario.issuer.add_key("second").unwrap();
    scenario.publish().unwrap();
    let new = scenario.agent("second").unwrap();
    let before = scenario.published.fetches.load(Ordering::Relaxed);
    eventually("the new key is found", FETCH_TIMEOUT, || async {
        // Tokens with keys that do not exist lead to no fetch.
        old.tools().await?;
        new.tools().await.map(drop)
    })
    .await
    .unwrap();
    let fetches = scenario.published.fetches.load(Ordering::Relaxed) - before;
    assert!(fetches <= 6, "two documents in each interval: {fetches}");

    scenario.published.set_keys(None);
    let status = scenario.eventually_failing("503").await.unwrap();
    assert_eq!(status["keys"].as_array().unwrap().len(), 2, "{status}");
    old.tools().await.unwrap();
    new.tools().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn oa_09_a_wrong_issuer_or_document_gives_no_keys_and_is_shown() {
    let scenario = ProviderScenario::start("provider-faults").await.unwrap();
    let other =
        json!({"issuer": "http://other.example", "jwks_uri": format!("{}/keys", scenario.url)});
    scenario.published.set_configuration(Some(other));
    scenario.admit("").await.unwrap();
    scenario.eventually_failing("another issuer").await.unwrap();
    let gateway = scenario
        .cli
        .json(&["get", "gateway", "office"])
        .await
        .unwrap();
    assert!(
        gateway["status"]["problemDetails"]
            .to_string()
            .contains("NO_PROVIDER_KEYS")
    );
    // A change of the source is followed at once.
    let set = format!("  jwksUrl: {}/keys\n", scenario.url);
    scenario.admit(&set).await.unwrap();
    let agent = scenario.agent("first").unwrap();
    eventually("the keys are found", HANG_GUARD, || agent.tools())
        .await
        .unwrap();
    scenario.published.set_keys(Some(json!({"keys": []})));
    let set = format!("  jwksUrl: {}/keys?2\n", scenario.url);
    scenario.admit(&set).await.unwrap();
    scenario.eventually_failing("no key").await.unwrap();
    // Keys of another source are not kept.
    is_refused(&agent).await.unwrap();
}

/// Waits until the token of the agent is refused.
async fn is_refused(agent: &Agent) -> Result<()> {
    eventually("the token is refused", HANG_GUARD, || async {
        let reply = agent.request("tools/list", json!({})).await?;
        ensure!(reply.status == 401, "{}", reply.status);
        Ok(())
    })
    .await
}

/// Clients that call while a provider rotates its keys.
const CLIENTS: usize = 4;

/// Requests of a client between two tokens.
const REQUESTS_PER_TOKEN: usize = 20;

/// Clients that call until the end.
#[derive(Default)]
struct CallingClients {
    has_ended: AtomicBool,
    requests: AtomicU64,
    /// Number of tokens that each client has got.
    tokens: [AtomicU64; CLIENTS],
}

impl CallingClients {
    /// Calls the gateway with new tokens, and fails at the first refusal.
    async fn call(&self, client: usize, provider: &OidcProvider, url: &str) -> Result<()> {
        while !self.has_ended.load(Ordering::SeqCst) {
            let agent = Agent::modern(url, &provider.token().await?);
            self.tokens[client].fetch_add(1, Ordering::SeqCst);
            for _ in 0..REQUESTS_PER_TOKEN {
                agent.tools().await?;
                self.requests.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Waits until each client has a token that is issued from now on.
    async fn await_new_tokens(&self) -> Result<()> {
        let counts = || self.tokens.each_ref().map(|it| it.load(Ordering::SeqCst));
        let before = counts();
        eventually("each client has a new token", HANG_GUARD, || async {
            let mut pairs = counts().into_iter().zip(before);
            // The first one may have been issued before and be on its way.
            ensure!(pairs.all(|(now, before)| now >= before + 2), "{before:?}");
            Ok(())
        })
        .await
    }
}

/// Rotates the keys of a provider as it would itself: a key is published, used, and the former one removed when no client has
/// a token of it. Each step waits until Toolgate has seen the step before it.
async fn rotate(
    provider: &OidcProvider,
    cli: &CommandLine,
    clients: &CallingClients,
) -> Result<()> {
    for published in ["a,b", "b,a", "b"] {
        provider.publish(published).await?;
        clients.await_new_tokens().await?;
        let count = published.split(',').count();
        eventually(
            "the keys are those of the provider",
            FETCH_TIMEOUT,
            || async {
                let shown = cli.json(&["get", "idp", "corp"]).await?;
                let keys = shown["status"]["keys"].as_array().map(Vec::len);
                ensure!(keys == Some(count), "{shown}");
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oa_08_no_good_token_is_refused_while_a_certified_provider_rotates_its_keys_under_load() {
    let (sandbox, up, cli) = start_deployment("oidc-provider").await.unwrap();
    let provider = OidcProvider::start(&sandbox, "toolgate").await.unwrap();
    let issuer = provider.issuer();
    let create = format!("idp create corp --issuer {issuer} --audience toolgate --algorithm ES256");
    let words: Vec<_> = create.split(' ').collect();
    let created = cli.run(&words).await.unwrap();
    let told = text(&created.stderr);
    // A busy machine may take longer than the command waits.
    let outcomes = ["1 key fetched", "not been fetched yet"];
    assert!(outcomes.iter().any(|it| told.contains(it)), "{told}");
    for line in [
        "gateway create office --server demo",
        "idp admit corp --gateway office --group mcp-users",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        cli.run(&words).await.unwrap();
    }
    let url = up.url("office");
    let first = Agent::modern(&url, &provider.token().await.unwrap());
    eventually("the keys are found", HANG_GUARD, || first.tools())
        .await
        .unwrap();

    let (start, before) = (now(), provider.key_fetches().await.unwrap());
    let clients = CallingClients::default();
    let calls = (0..CLIENTS).map(|client| clients.call(client, &provider, &url));
    let rotation = async {
        let rotated = rotate(&provider, &cli, &clients).await;
        clients.has_ended.store(true, Ordering::SeqCst);
        rotated
    };
    let (called, rotated) = tokio::join!(futures_util::future::join_all(calls), rotation);
    for outcome in called {
        outcome.unwrap();
    }
    rotated.unwrap();
    let requests = clients.requests.into_inner();
    assert!(requests > 100, "{requests} requests");
    // The keys are fetched in an interval of 30 seconds, however many tokens name a new one.
    let fetches = provider.key_fetches().await.unwrap() - before;
    let most = start.elapsed().as_secs() / 30 + 2;
    assert!(fetches <= most, "{fetches} fetches, {most} intervals");
    // The key that was removed opens nothing, nor does a provider that the gateway no longer lists.
    is_refused(&first).await.unwrap();
    let last = Agent::modern(&url, &provider.token().await.unwrap());
    last.tools().await.unwrap();
    let exclude = ["idp", "exclude", "corp", "--gateway", "office"];
    cli.run(&exclude).await.unwrap();
    is_refused(&last).await.unwrap();
}
