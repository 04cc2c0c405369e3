//! Requests to servers that somebody configured: a pooling client over the vetting connector.

use std::{fmt, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer};

use crate::{
    body::Body,
    connector::Connector,
    error::EgressError,
    policy::EgressPolicy,
    resolve::{Resolve, SystemResolver},
};

/// The way out, under one policy. Make clients from it.
#[derive(Clone)]
pub struct Egress {
    policy: Arc<EgressPolicy>,
    resolver: Arc<dyn Resolve>,
    tls: Arc<ClientConfig>,
}

/// How a client keeps its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    /// Until a connection stands: resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections kept for one host.
    pub max_idle_per_host: usize,
    /// Whether HTTP/2 is offered in the TLS handshake. Plain http is always HTTP/1.1.
    pub http2: bool,
    /// Longest head of an HTTP/1.1 response; also the read buffer's bound.
    pub max_head: usize,
}

/// A pooling client. Follows no redirects, uses no proxies, and is cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<Connector, Body>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            // Common servers close an idle connection after 5 s. Whoever uses it at that very moment cannot know
            // whether the request was heard, and a tool call must not be sent twice: so we close first.
            idle_timeout: Duration::from_secs(4),
            max_idle_per_host: 1024,
            http2: true,
            max_head: 64 * 1024,
        }
    }
}

impl Egress {
    /// Out under `policy`, trusting the system's certificate authorities and those of the policy.
    pub fn new(policy: EgressPolicy) -> Result<Self, EgressError> {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// The same, with names resolved by `resolver`.
    pub fn with_resolver(
        policy: EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, EgressError> {
        let tls = Arc::new(tls(roots(&policy)?)?);
        Ok(Self {
            policy: Arc::new(policy),
            resolver,
            tls,
        })
    }

    /// A client with a pool of its own.
    pub fn http(&self, options: PoolOptions) -> HttpClient {
        let mut tls = self.tls.as_ref().clone();
        if options.http2 {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        } else {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let connector = Connector {
            policy: Arc::clone(&self.policy),
            resolver: Arc::clone(&self.resolver),
            tls: Arc::new(tls),
            connect_timeout: options.connect_timeout,
        };
        // `retry_canceled_requests` stays on: it repeats only what the closed connection has not begun to send.
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(options.max_idle_per_host)
            .http1_max_buf_size(options.max_head.max(8192))
            .http2_adaptive_window(false)
            .http2_initial_stream_window_size(1024 * 1024)
            .http2_initial_connection_window_size(4 * 1024 * 1024)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(connector);
        HttpClient { client }
    }
}

impl HttpClient {
    /// Sends a request to the absolute URL it carries and waits for the head of the answer. The body of the answer
    /// is not read ahead: who reads it sets the pace and the limit.
    pub async fn request(&self, request: Request<Body>) -> Result<Response<Incoming>, EgressError> {
        // The connector has the same check, but a pooled connection would not pass it.
        let Some(authority) = request.uri().authority().cloned() else {
            return Err(EgressError::Url("it names no host"));
        };
        let answer = self.client.request(request).await;
        answer.map_err(|error| EgressError::of(authority.host(), &error))
    }
}

/// The certificate authorities that the system trusts.
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(%error, "a certificate authority of the system cannot be read");
    }
    found.certs
}

fn roots(policy: &EgressPolicy) -> Result<RootCertStore, EgressError> {
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(system_roots());
    if added == 0 {
        tracing::warn!("the system has no certificate authorities");
    }
    for root in &policy.extra_roots {
        let added = roots.add(root.clone());
        added.map_err(|error| EgressError::SetUp(format!("a configured authority: {error}")))?;
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, EgressError> {
    // TLS 1.2 is still what many servers speak.
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| EgressError::SetUp(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
