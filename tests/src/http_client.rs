//! A plain HTTP client for the scenarios: every response is bounded in size and time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpStream;

/// Longest wait for a whole response.
const RESPONSE_TIMEOUT: Duration = crate::clock::HANG_GUARD;
/// Largest response body.
const MAX_BODY: usize = 64 << 20;

/// Opens a TCP socket for raw requests.
#[expect(
    clippy::disallowed_methods,
    reason = "what no client would send is sent byte by byte"
)]
pub async fn socket(address: SocketAddr) -> Result<TcpStream> {
    Ok(TcpStream::connect(address).await?)
}

/// Response that was read to its end.
#[derive(Clone, Debug)]
pub struct HttpReply {
    /// Status code.
    pub status: StatusCode,
    /// Response headers.
    pub headers: HeaderMap,
    /// Response body.
    pub body: Bytes,
}

impl HttpReply {
    /// Body as text, for messages and patterns.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Body, parsed as one JSON document.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: not JSON: {}", self.status, self.text()))
    }

    /// Value of a header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// HTTP client with persistent connections, as agents have.
#[derive(Clone, Debug)]
pub struct TestHttpClient {
    client: Client<HttpConnector, Body>,
}

impl Default for TestHttpClient {
    fn default() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }
}

impl TestHttpClient {
    /// Sends `request` and returns once the response headers have arrived.
    pub async fn open(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        let what = format!("{} {}", request.method(), request.uri());
        tokio::time::timeout(RESPONSE_TIMEOUT, self.client.request(request))
            .await
            .with_context(|| format!("{what}: no answer within {RESPONSE_TIMEOUT:?}"))?
            .with_context(|| what)
    }

    /// Sends `request` and reads the whole response.
    pub async fn send(&self, request: Request<Body>) -> Result<HttpReply> {
        let what = format!("{} {}", request.method(), request.uri());
        let (head, body) = self.open(request).await?.into_parts();
        let body = tokio::time::timeout(RESPONSE_TIMEOUT, to_bytes(Body::new(body), MAX_BODY))
            .await
            .with_context(|| format!("{what}: the answer does not end"))??;
        Ok(HttpReply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Sends a GET request without further headers.
    pub async fn get(&self, url: &str) -> Result<HttpReply> {
        self.send(Request::get(url).body(Body::empty())?).await
    }
}
