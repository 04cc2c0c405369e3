//! Initial objects of `up`: the demo server, its gateway, and a token. They are written through the admin API,
//! and only if they are missing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::demo_token::{self, DEMO, DemoToken};
use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions, AdminConnectionOptions},
        dial, gateway_access,
        kind::{GATEWAY, SERVER, TOKEN},
        mcp_client::McpClient,
    },
    commands::token::{self, TokenExpiry, TokenRequest},
    output::{
        cell,
        error::{CliError, CliErrorKind},
    },
};

/// Lifetime of the token.
const TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Maximum time until the demo's tools can be listed.
const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum time of retries when seeding.
const SEED_TIMEOUT: Duration = Duration::from_secs(30);
const SEED_RETRY_DELAY: Duration = Duration::from_millis(250);
const CALL_RETRY_DELAY: Duration = Duration::from_millis(20);

/// Seeds the demo server at `url`. Returns a token with which the gateway's tools can already be called at `endpoint`:
/// that of `token_file`, or a new one, which is then written there.
pub async fn seed_demo(
    admin: &str,
    token: &str,
    url: &str,
    endpoint: &str,
    token_file: PathBuf,
) -> anyhow::Result<DemoToken> {
    let options = AdminCommandOptions {
        addr: Some(admin.to_owned()),
        token: Some(token.to_owned()),
        connection: AdminConnectionOptions {
            organization: "default".to_owned(),
            ca: None,
            data_dir: PathBuf::new(),
        },
    };
    let mut admin = options.connect()?;
    let secret = seed_with_retries(&mut admin, url, &token_file)
        .await
        .context("cannot seed the demo (--no-demo leaves it out)")?;
    wait_until_callable(endpoint, &secret).await?;
    Ok(DemoToken {
        secret,
        file: token_file,
    })
}

/// Seeds, with retries. On a machine that is busy during startup a request may exceed its timeout; objects that it
/// has written nevertheless are found by the next attempt.
async fn seed_with_retries(
    admin: &mut AdminClient,
    url: &str,
    token_file: &Path,
) -> Result<String, CliError> {
    let mut waited = Duration::ZERO;
    loop {
        match seed(admin, url, token_file).await {
            Err(fault) if is_transient(fault.kind) && waited < SEED_TIMEOUT => {
                tokio::time::sleep(SEED_RETRY_DELAY).await;
                waited += SEED_RETRY_DELAY;
            }
            outcome => return outcome,
        }
    }
}

fn is_transient(kind: CliErrorKind) -> bool {
    matches!(kind, CliErrorKind::Unavailable | CliErrorKind::Conflict)
}

async fn seed(admin: &mut AdminClient, url: &str, token_file: &Path) -> Result<String, CliError> {
    put_server(admin, url).await?;
    let gateway = json!({
        "metadata": { "displayName": "Demo" },
        "spec": { "bindings": [{ "server": DEMO, "allTools": true }] },
    });
    // A gateway that was changed by an operator stays as it is.
    let name = GATEWAY.resource_name(admin.organization(), DEMO);
    if admin.find(&GATEWAY, &name).await?.is_none() {
        admin.create(&GATEWAY, DEMO, gateway, false).await?;
    }
    let probed = json!({ "name": format!("organizations/default/catalogues/{DEMO}") });
    admin.call("Catalogues", "RefreshCatalogue", probed).await?;
    delete_expired_tokens(admin).await?;
    let tokens = admin.list(&TOKEN).await?;
    if let Some(secret) = demo_token::read(token_file)
        && demo_token::is_usable(&tokens, &secret, crate::cli::now())
    {
        return Ok(secret);
    }
    let token_request = TokenRequest {
        gateways: vec![DEMO.to_owned()],
        expiry: Some(TokenExpiry::After(TOKEN_TTL)),
        description: demo_token::DESCRIPTION.to_owned(),
        ..TokenRequest::default()
    };
    let made = token::create_token(
        admin,
        &format!("{DEMO}-{}", gateway_access::short_id()),
        &token_request,
        false,
    )
    .await?;
    let secret = made["secret"].as_str().unwrap_or_default().to_owned();
    demo_token::write(token_file, &secret)?;
    Ok(secret)
}

/// Creates the server, or updates its URL: the demo server has a new port after every start.
async fn put_server(admin: &mut AdminClient, url: &str) -> Result<(), CliError> {
    let name = SERVER.resource_name(admin.organization(), DEMO);
    let Some(mut server) = admin.find(&SERVER, &name).await? else {
        let server = json!({
            "metadata": { "displayName": "Demo" },
            "spec": { "url": url, "description": "Tools to try a gateway with, inside this process" },
        });
        return admin.create(&SERVER, DEMO, server, false).await.map(drop);
    };
    server["spec"]["url"] = json!(url);
    admin.update(&SERVER, server, false).await.map(drop)
}

/// Deletes expired tokens of earlier starts, which would otherwise accumulate.
async fn delete_expired_tokens(admin: &mut AdminClient) -> Result<(), CliError> {
    let now = crate::cli::now();
    for token in admin.list(&TOKEN).await? {
        let is_demo_token = cell::id(&token, "/metadata/name").starts_with("demo-");
        let ends = token
            .pointer("/spec/expireTime")
            .and_then(Value::as_str)
            .and_then(cell::parse_timestamp);
        if is_demo_token && ends.is_some_and(|ends| ends < now) {
            let name = TOKEN.name_of(&token).to_owned();
            admin.delete(&TOKEN, &name, false).await?;
        }
    }
    Ok(())
}

/// Waits until the tools can be listed with the token, as its user will do.
async fn wait_until_callable(endpoint: &str, token: &str) -> anyhow::Result<()> {
    let url = gateway_access::endpoint_url(endpoint, DEMO);
    let mut client = McpClient::new(dial::http_client(None)?, url.clone(), token.to_owned());
    let attempts = async {
        loop {
            if client.tools().await.is_ok_and(|tools| !tools.is_empty()) {
                return;
            }
            tokio::time::sleep(CALL_RETRY_DELAY).await;
        }
    };
    let in_time = tokio::time::timeout(FIRST_CALL_TIMEOUT, attempts).await;
    in_time.with_context(|| format!("the demo's tools cannot be listed at {url}"))
}
