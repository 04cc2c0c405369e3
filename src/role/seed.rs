//! What `up` begins with: the demo server, a gateway that offers it, and a fresh token. Written through the admin API
//! like everything else, and only where it is missing.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::{
    admin::{Admin, AdminOptions, ReachOptions},
    cell, dial,
    fault::{Fault, FaultKind},
    kind::{GATEWAY, SERVER, TOKEN},
    mcp::McpClient,
    through,
    token::{self, Wish},
};

/// Id of the demo server and of its gateway.
const DEMO: &str = "demo";
/// How long a token of one start works.
const TOKEN_LASTS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the first call may take to work.
const FIRST_CALL: Duration = Duration::from_secs(30);
/// How long seeding is tried.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_SEEDS: Duration = Duration::from_millis(250);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Seeds the demo at `url`; returns a token with which the gateway's tools can be called at `door`, now.
pub async fn demo(admin: &str, token: &str, url: &str, door: &str) -> anyhow::Result<String> {
    let options = AdminOptions {
        addr: Some(admin.to_owned()),
        token: Some(token.to_owned()),
        reach: ReachOptions {
            organization: "default".to_owned(),
            ca: None,
            data_dir: PathBuf::new(),
        },
    };
    let mut admin = options.connect()?;
    let seeded = patiently(&mut admin, url)
        .await
        .context("cannot seed the demo (--no-demo leaves it out)")?;
    works(door, &seeded).await?;
    Ok(seeded)
}

/// Seeds until it has worked. A machine that is busy with everything else at first may be too slow for a deadline;
/// whatever has been written by then is found the next time.
async fn patiently(admin: &mut Admin, url: &str) -> Result<String, Fault> {
    let mut waited = Duration::ZERO;
    loop {
        match seed(admin, url).await {
            Err(fault) if may_pass(fault.kind) && waited < PATIENCE => {
                tokio::time::sleep(BETWEEN_SEEDS).await;
                waited += BETWEEN_SEEDS;
            }
            outcome => return outcome,
        }
    }
}

fn may_pass(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Unavailable | FaultKind::Conflict)
}

async fn seed(admin: &mut Admin, url: &str) -> Result<String, Fault> {
    put_server(admin, url).await?;
    let gateway = json!({
        "metadata": { "displayName": "Demo" },
        "spec": { "bindings": [{ "server": DEMO, "allTools": true }] },
    });
    // A gateway that somebody has changed stays as it is.
    let name = GATEWAY.resource_name(admin.organization(), DEMO);
    if admin.find(&GATEWAY, &name).await?.is_none() {
        admin.create(&GATEWAY, DEMO, gateway, false).await?;
    }
    let probed = json!({ "name": format!("organizations/default/catalogues/{DEMO}") });
    admin.call("Catalogues", "RefreshCatalogue", probed).await?;
    forget_ended_tokens(admin).await?;
    let wish = Wish {
        gateways: vec![DEMO.to_owned()],
        ttl: Some(TOKEN_LASTS),
        description: "Made by `toolgate up`".to_owned(),
        ..Wish::default()
    };
    let made = token::mint(admin, &format!("{DEMO}-{}", through::short_id()), &wish).await?;
    Ok(made["secret"].as_str().unwrap_or_default().to_owned())
}

/// Creates the server, or tells it where the demo is now: it has another port after every start.
async fn put_server(admin: &mut Admin, url: &str) -> Result<(), Fault> {
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

/// Tokens of starts long past would otherwise pile up.
async fn forget_ended_tokens(admin: &mut Admin) -> Result<(), Fault> {
    let now = crate::cli::now();
    for token in admin.list(&TOKEN).await? {
        let ours = cell::id(&token, "/metadata/name").starts_with("demo-");
        let ends = token
            .pointer("/spec/expireTime")
            .and_then(Value::as_str)
            .and_then(cell::instant);
        if ours && ends.is_some_and(|ends| ends < now) {
            let name = TOKEN.name_of(&token).to_owned();
            admin.delete(&TOKEN, &name, false).await?;
        }
    }
    Ok(())
}

/// Waits until the tools can be listed with the token, as the person who gets it will.
async fn works(door: &str, token: &str) -> anyhow::Result<()> {
    let url = through::endpoint_url(door, DEMO);
    let mut client = McpClient::new(dial::http(None)?, url.clone(), token.to_owned());
    let tried = async {
        loop {
            if client.tools().await.is_ok_and(|tools| !tools.is_empty()) {
                return;
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    };
    let in_time = tokio::time::timeout(FIRST_CALL, tried).await;
    in_time.with_context(|| format!("the demo's tools cannot be listed at {url}"))
}
