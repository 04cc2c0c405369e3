//! Requests to configured servers: a pooling HTTP client over the vetting connector.

use std::{fmt, sync::Arc, time::Duration};

use http::{
    Request, Response, StatusCode, Uri,
    header::{HOST, PROXY_AUTHORIZATION, USER_AGENT},
    uri::PathAndQuery,
};
use hyper::client::conn::http2::SendRequest;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer};
use tokio::time::{Instant, timeout_at};

use crate::{
    PRODUCT,
    body::EgressRequestBody,
    chain,
    connector::VettingConnector,
    error::EgressError,
    exhaustion::ExhaustionLog,
    forward_proxy::ForwardProxyProblem,
    http1_connection::{Http1Connection, Http1SendError},
    name_cache::NameCache,
    policy::EgressPolicy,
    pool::{ConnectionPool, HostPool, PoolOptions, PooledConnection},
    resolve::{HostResolver, SystemResolver},
    response_body::EgressResponseBody,
};

/// Factory of HTTP clients under one egress policy.
#[derive(Clone)]
pub struct Egress {
    policy: Arc<EgressPolicy>,
    resolver: Arc<dyn HostResolver>,
    proxied_names: Arc<NameCache>,
    tls: Arc<ClientConfig>,
    exhaustion: Arc<ExhaustionLog>,
}

/// Pooling HTTP client. Follows no redirects, and is cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    pool: Arc<ConnectionPool>,
}

/// Time limits of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTimeouts {
    /// Time to open a connection, at most the timeout of the pool.
    pub connect: Duration,
    /// Time from the sending of the request to the response head.
    pub head: Duration,
    /// Time until the response head in all.
    pub total: Duration,
}

/// Failure of one attempt.
enum RequestFailure {
    /// Nothing was sent: the request may be sent again.
    Unsent(Box<Request<EgressRequestBody>>),
    /// Final error.
    Error(EgressError),
    /// The deadline has passed.
    DeadlineExceeded,
}

impl Egress {
    /// Creates an egress under `policy` that trusts the system's certificate authorities and those of the policy.
    pub fn new(policy: EgressPolicy) -> Result<Self, EgressError> {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// Like [`new`](Self::new), with host names resolved by `resolver`.
    pub fn with_resolver(
        policy: EgressPolicy,
        resolver: Arc<dyn HostResolver>,
    ) -> Result<Self, EgressError> {
        let tls = Arc::new(tls(roots(&policy)?)?);
        Ok(Self {
            policy: Arc::new(policy),
            resolver,
            proxied_names: Arc::default(),
            tls,
            exhaustion: Arc::default(),
        })
    }

    /// Creates a client with its own pool.
    pub fn http(&self, options: PoolOptions) -> HttpClient {
        let mut tls = self.tls.as_ref().clone();
        if options.http2 {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        } else {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let connector = VettingConnector {
            policy: Arc::clone(&self.policy),
            resolver: Arc::clone(&self.resolver),
            proxied_names: Arc::clone(&self.proxied_names),
            tls: Arc::new(tls),
            connect_timeout: options.connect_timeout,
            exhaustion: Arc::clone(&self.exhaustion),
        };
        let pool = Arc::new(ConnectionPool::new(connector, options));
        HttpClient { pool }
    }
}

impl Egress {
    /// Returns the number of connections that were not opened because this process had no descriptors, ports or memory.
    pub fn connections_not_opened(&self) -> u64 {
        self.exhaustion.count()
    }
}

impl HttpClient {
    /// Sends a request to its absolute URL and waits for the response head. The body is not read ahead: its reader sets
    /// the rate and the limit.
    pub async fn request(
        &self,
        request: Request<EgressRequestBody>,
    ) -> Result<Response<EgressResponseBody>, EgressError> {
        match self.send(request, None).await {
            Ok(answer) => Ok(answer),
            Err(RequestFailure::Error(error)) => Err(error),
            // Without a deadline, `DeadlineExceeded` does not occur. `Unsent` is handled by `send`, which sends the
            // request again.
            Err(RequestFailure::DeadlineExceeded | RequestFailure::Unsent(_)) => Err(closed()),
        }
    }

    /// Like [`request`](Self::request), within `limits`. Returns `None` if a limit other than that for connecting is over.
    pub async fn request_within(
        &self,
        request: Request<EgressRequestBody>,
        limits: RequestTimeouts,
    ) -> Option<Result<Response<EgressResponseBody>, EgressError>> {
        match self.send(request, Some(limits)).await {
            Ok(answer) => Some(Ok(answer)),
            Err(RequestFailure::Error(error)) => Some(Err(error)),
            Err(RequestFailure::Unsent(_)) => Some(Err(closed())),
            Err(RequestFailure::DeadlineExceeded) => None,
        }
    }

    /// Sends the request on a pooled or a new connection. A pooled connection that has been closed returns the request
    /// unsent, and it is sent on another one. A request of which any byte was sent is never sent again.
    async fn send(
        &self,
        mut request: Request<EgressRequestBody>,
        limits: Option<RequestTimeouts>,
    ) -> Result<Response<EgressResponseBody>, RequestFailure> {
        // Firewalls in front of some servers refuse requests that do not name their software.
        request.headers_mut().entry(USER_AGENT).or_insert(PRODUCT);
        let uri = request.uri().clone();
        let host = self.pool.host(&uri).map_err(RequestFailure::Error)?;
        let end = limits.map(|limits| Instant::now() + limits.total);
        let connect = limits.map_or(Duration::MAX, |limits| limits.connect);
        loop {
            let pooled = self.connection(&host, &uri, connect, end).await?;
            let head = limits.map(|limits| Instant::now() + limits.head);
            let deadline = end.min(head);
            let sent = match pooled {
                PooledConnection::Http1 { connection, used } => {
                    send_on_http1(connection, used, &host, request, deadline).await
                }
                PooledConnection::Http2(shared) => send_on_http2(shared, request, deadline).await,
            };
            request = match sent {
                Err(RequestFailure::Unsent(request)) => *request,
                sent => return sent,
            };
            *request.uri_mut() = uri.clone();
        }
    }

    async fn connection(
        &self,
        host: &HostPool,
        uri: &Uri,
        connect: Duration,
        end: Option<Instant>,
    ) -> Result<PooledConnection, RequestFailure> {
        if let Some(pooled) = host.checkout() {
            return Ok(pooled);
        }
        // Boxed: connecting is rare and its future is large, so requests on pooled connections do not carry it.
        let opening = Box::pin(self.pool.open(host, uri, connect));
        let opened = match end {
            None => opening.await,
            Some(end) => timeout_at(end, opening)
                .await
                .map_err(|_elapsed| RequestFailure::DeadlineExceeded)?,
        };
        opened.map_err(RequestFailure::Error)
    }
}

/// Sends a request on an HTTP/1.1 connection, which it uses alone.
async fn send_on_http1(
    mut connection: Box<Http1Connection>,
    used: bool,
    host: &Arc<HostPool>,
    mut request: Request<EgressRequestBody>,
    deadline: Option<Instant>,
) -> Result<Response<EgressResponseBody>, RequestFailure> {
    request
        .headers_mut()
        .entry(HOST)
        .or_insert_with(|| host.name.clone());
    match &host.forward_proxy {
        None => {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        }
        // The proxy reads the server from the target, which stays absolute.
        Some(proxy) => {
            request.headers_mut().remove(PROXY_AUTHORIZATION);
            if let Some(authorization) = &proxy.authorization {
                let headers = request.headers_mut();
                headers.insert(PROXY_AUTHORIZATION, authorization.clone());
            }
        }
    }
    match connection.request(request, deadline).await {
        // A server may answer this too, so the request may have been executed.
        Ok(answer)
            if host.forward_proxy.is_some()
                && answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
        {
            let proxy = host.forward_proxy.as_ref().map(ToString::to_string);
            Err(RequestFailure::Error(EgressError::Broken(format!(
                "through the proxy `{}`: {}",
                proxy.unwrap_or_default(),
                ForwardProxyProblem::Credentials(answer.status().as_u16())
            ))))
        }
        Ok(answer) => {
            Ok(answer.map(|body| EgressResponseBody::own(body, connection, Arc::clone(host))))
        }
        // Only a reused connection may have been closed before the request. If a new one is closed at once, the next
        // one would be too.
        Err(Http1SendError::Unsent(request, _closed)) if used => {
            Err(RequestFailure::Unsent(request))
        }
        Err(Http1SendError::Unsent(_, error) | Http1SendError::Broken(error)) => {
            Err(broken(&error))
        }
        Err(Http1SendError::DeadlineExceeded) => Err(RequestFailure::DeadlineExceeded),
    }
}

/// Sends a request on a shared HTTP/2 connection.
async fn send_on_http2(
    mut shared: SendRequest<EgressRequestBody>,
    request: Request<EgressRequestBody>,
    deadline: Option<Instant>,
) -> Result<Response<EgressResponseBody>, RequestFailure> {
    let sent = shared.try_send_request(request);
    let answer = match deadline {
        None => sent.await,
        Some(deadline) => timeout_at(deadline, sent)
            .await
            .map_err(|_elapsed| RequestFailure::DeadlineExceeded)?,
    };
    match answer {
        Ok(answer) => Ok(answer.map(EgressResponseBody::shared)),
        Err(mut unsent) => Err(match unsent.take_message() {
            // The connection is closed, so the next checkout returns another one.
            Some(request) if shared.is_closed() => RequestFailure::Unsent(Box::new(request)),
            Some(_) | None => broken(&unsent.into_error()),
        }),
    }
}

fn broken(error: &hyper::Error) -> RequestFailure {
    RequestFailure::Error(EgressError::Broken(chain(error)))
}

fn closed() -> EgressError {
    EgressError::Broken("the connection was closed".to_owned())
}

/// Returns the certificate authorities trusted by the system.
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
        added.map_err(|error| EgressError::TlsSetup(format!("a configured authority: {error}")))?;
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, EgressError> {
    // TLS 1.2 is allowed: many servers support nothing newer.
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| EgressError::TlsSetup(error.to_string()))?;
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
