//! OpenID provider of the node package `oidc-provider`, which issues access tokens to machine clients and rotates its keys.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use http::{Request, header};

use crate::http_client::TestHttpClient;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::{clock, external_programs, port};

/// Id and secret of the client, as HTTP Basic authentication has them.
const CLIENT: &str = "YWdlbnQ6YS1zZWNyZXQtb2YtdGhpcy10ZXN0LW9ubHktYW5kLW9mLW5vdGhpbmctZWxzZQ==";

/// Time from the start of the process to its first answer.
const START_TIMEOUT: Duration = clock::HANG_GUARD;

/// Running provider; it ends when dropped.
#[derive(Debug)]
pub struct OidcProvider {
    issuer: String,
    http: TestHttpClient,
    _process: TestProcess,
}

impl OidcProvider {
    /// Starts a provider that signs with the key `a`, for this audience.
    pub async fn start(sandbox: &Sandbox, audience: &str) -> Result<Self> {
        let address = port::free()?;
        let mut command = Command::new(external_programs::node()?);
        command
            .arg(external_programs::script("oidc_provider.mjs")?)
            .arg(address.port().to_string())
            .arg(audience)
            .env("CLIENTS", external_programs::clients()?);
        let mut process = TestProcess::start("oidc-provider", sandbox.path(), command)?;
        let issuer = format!("http://127.0.0.1:{}", address.port());
        let http = TestHttpClient::default();
        let keys = format!("{issuer}/test/fetches");
        clock::eventually("the provider answers", START_TIMEOUT, || async {
            http.get(&keys).await.map(drop)
        })
        .await?;
        process.ensure_running()?;
        Ok(Self {
            issuer,
            http,
            _process: process,
        })
    }

    /// Issuer, as tokens name it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Issues an access token (client credentials, RFC 6749 section 4.4).
    pub async fn token(&self) -> Result<String> {
        let request = Request::post(format!("{}/token", self.issuer))
            .header(header::AUTHORIZATION, format!("Basic {CLIENT}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from("grant_type=client_credentials&scope=mcp"))?;
        let answer = self.http.send(request).await?.json()?;
        let token = answer["access_token"].as_str();
        token
            .map(str::to_owned)
            .with_context(|| format!("no token: {answer}"))
    }

    /// Publishes these keys from now on, and signs with the first one.
    pub async fn publish(&self, keys: &str) -> Result<()> {
        let request = Request::post(format!("{}/test/keys?published={keys}", self.issuer));
        let answer = self.http.send(request.body(Body::empty())?).await?;
        ensure!(answer.status.is_success(), "{}", answer.status);
        Ok(())
    }

    /// Returns how often the keys were fetched.
    pub async fn key_fetches(&self) -> Result<u64> {
        let url = format!("{}/test/fetches", self.issuer);
        Ok(self.http.get(&url).await?.text().parse()?)
    }
}
