//! An HTTP server in front of another server. It serves requests with all parts of a key only: two headers and a query
//! parameter. It records the requests, and can refuse them as some frameworks do, with the URL in the answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use crate::loopback_server::LoopbackServer;

/// Headers of the key.
pub const KEY_HEADERS: [&str; 2] = ["x-app-id", "x-app-key"];
/// Query parameter of the key.
pub const KEY_PARAMETER: &str = "api_key";

/// Behaviour of the server towards a request with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyedAnswer {
    /// Serves it.
    Serve = 0,
    /// Answers 404 with a JSON-RPC error that quotes the URL.
    Quote = 1,
    /// Redirects it to another origin, with its query.
    Redirect = 2,
}

/// Request as it was received.
#[derive(Clone, Debug)]
pub struct KeyedRequest {
    /// Path and query.
    pub target: String,
    /// Headers.
    pub headers: HeaderMap,
}

#[derive(Clone)]
struct KeyedServerState {
    client: Client<HttpConnector, Body>,
    upstream: SocketAddr,
    elsewhere: SocketAddr,
    answer: Arc<AtomicU8>,
    requests: KeyedRequests,
}

type KeyedRequests = Arc<Mutex<Vec<KeyedRequest>>>;

/// Running server; it ends when dropped.
#[derive(Debug)]
pub struct KeyedServer {
    server: LoopbackServer,
    _elsewhere: LoopbackServer,
    answer: Arc<AtomicU8>,
    requests: KeyedRequests,
    strays: KeyedRequests,
}

impl KeyedServer {
    /// Starts the server in front of `upstream`.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let strays = KeyedRequests::default();
        let router = Router::new().fallback(handle_stray);
        let elsewhere = LoopbackServer::start(router.with_state(Arc::clone(&strays))).await?;
        let shared = KeyedServerState {
            client: Client::builder(TokioExecutor::new()).build_http(),
            upstream,
            elsewhere: elsewhere.address(),
            answer: Arc::default(),
            requests: Arc::default(),
        };
        let router = Router::new().fallback(handle);
        Ok(Self {
            server: LoopbackServer::start(router.with_state(shared.clone())).await?,
            _elsewhere: elsewhere,
            answer: shared.answer,
            requests: shared.requests,
            strays,
        })
    }

    /// MCP endpoint, with a query of its own.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}?tenant=7", self.server.url())
    }

    /// Sets the behaviour from now on.
    pub fn answer(&self, answer: KeyedAnswer) {
        self.answer.store(answer as u8, Ordering::Relaxed);
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<KeyedRequest> {
        locked(&self.requests).clone()
    }

    /// Requests that followed a redirect.
    #[must_use]
    pub fn strays(&self) -> Vec<KeyedRequest> {
        locked(&self.strays).clone()
    }
}

fn locked<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

fn record(list: &Mutex<Vec<KeyedRequest>>, request: &Request) -> String {
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |target| target.as_str()).to_owned();
    locked(list).push(KeyedRequest {
        target: target.clone(),
        headers: request.headers().clone(),
    });
    target
}

async fn handle_stray(State(strays): State<KeyedRequests>, request: Request) -> StatusCode {
    record(&strays, &request);
    StatusCode::NOT_FOUND
}

async fn handle(State(shared): State<KeyedServerState>, mut request: Request) -> Response {
    let target = record(&shared.requests, &request);
    let has_headers = KEY_HEADERS
        .iter()
        .all(|name| request.headers().contains_key(*name));
    if !has_headers || !target.contains(&format!("{KEY_PARAMETER}=")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match shared.answer.load(Ordering::Relaxed) {
        1 => {
            let message = format!("Cannot {} {target}", request.method());
            let error = json!({
                "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": message },
            });
            return (StatusCode::NOT_FOUND, Json(error)).into_response();
        }
        2 => {
            let location = format!("http://{}{target}", shared.elsewhere);
            let headers = [(header::LOCATION, location)];
            return (StatusCode::TEMPORARY_REDIRECT, headers).into_response();
        }
        _ => {}
    }
    let Ok(uri) = format!("http://{}{target}", shared.upstream).parse::<Uri>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    match shared.client.request(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
