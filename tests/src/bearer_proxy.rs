//! A loopback proxy that adds a bearer token for clients that cannot (the conformance suite), and records the protocol
//! versions of their requests. Host, Origin and everything else pass unchanged, and bodies are streamed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::loopback_server::LoopbackServer;

#[derive(Clone)]
struct BearerProxyState {
    client: Client<HttpConnector, Body>,
    upstream: SocketAddr,
    authorization: HeaderValue,
    versions: SeenVersions,
}

/// Protocol versions in the order of their first use.
type SeenVersions = Arc<Mutex<Vec<String>>>;

/// Running proxy; it ends when dropped.
#[derive(Debug)]
pub struct BearerProxy {
    server: LoopbackServer,
    versions: SeenVersions,
}

impl BearerProxy {
    /// Forwards to `upstream`, adding `token` to every request that has none.
    pub async fn start(upstream: SocketAddr, token: &str) -> Result<Self> {
        let versions = SeenVersions::default();
        let shared = BearerProxyState {
            versions: Arc::clone(&versions),
            client: Client::builder(TokioExecutor::new()).build_http(),
            upstream,
            authorization: HeaderValue::from_str(&format!("Bearer {token}"))?,
        };
        let router = Router::new().fallback(forward).with_state(shared);
        Ok(Self {
            server: LoopbackServer::start(router).await?,
            versions,
        })
    }

    /// Listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Values of `MCP-Protocol-Version` so far; the last is the version that the client settled on.
    #[must_use]
    pub fn versions(&self) -> Vec<String> {
        let versions = self.versions.lock();
        versions.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn record_version(versions: &SeenVersions, request: &Request) {
    let named = request.headers().get("mcp-protocol-version");
    if let Some(named) = named.and_then(|value| value.to_str().ok()) {
        let mut versions = versions.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.last().is_none_or(|last| last != named) {
            versions.push(named.to_owned());
        }
    }
}

async fn forward(State(shared): State<BearerProxyState>, mut request: Request) -> Response {
    record_version(&shared.versions, &request);
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = format!("http://{}{path}", shared.upstream).parse::<Uri>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    request
        .headers_mut()
        .entry(header::AUTHORIZATION)
        .or_insert(shared.authorization);
    match shared.client.request(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
