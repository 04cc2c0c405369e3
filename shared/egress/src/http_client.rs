//! Requests to servers that somebody configured: a pooling client over the vetting connector.

use std::{fmt, sync::Arc, time::Duration};

use http::{Request, Response, Uri, header::HOST, uri::PathAndQuery};
use hyper::client::conn::http2::SendRequest;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer};
use tokio::time::{Instant, timeout_at};

use crate::{
    answer::Answer,
    body::Body,
    connector::Connector,
    error::{EgressError, chain},
    line::{Line, Unanswered},
    policy::EgressPolicy,
    pool::{Host, Pool, Way},
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
    /// Longest head of an HTTP/1.1 response.
    pub max_head: usize,
}

/// A pooling client. Follows no redirects, uses no proxies, and is cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    pool: Arc<Pool>,
}

/// Why there is no answer, and the request where it is certain that nothing of it was sent.
enum Failed {
    /// It may be sent once more.
    Unsent(Box<Request<Body>>),
    /// For good.
    For(EgressError),
    /// The deadline has passed.
    Late,
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
        let pool = Arc::new(Pool::new(connector, options));
        HttpClient { pool }
    }
}

impl HttpClient {
    /// Sends a request to the absolute URL it carries and waits for the head of the answer. The body of the answer
    /// is not read ahead: who reads it sets the pace and the limit.
    pub async fn request(&self, request: Request<Body>) -> Result<Response<Answer>, EgressError> {
        match self.ask(request, None).await {
            Ok(answer) => Ok(answer),
            Err(Failed::For(error)) => Err(error),
            // Without a deadline none passes, and what is sent again was not sent before.
            Err(Failed::Late | Failed::Unsent(_)) => Err(closed()),
        }
    }

    /// The same, but no longer than until `deadline`. None: it has passed.
    pub async fn request_until(
        &self,
        request: Request<Body>,
        deadline: Instant,
    ) -> Option<Result<Response<Answer>, EgressError>> {
        match self.ask(request, Some(deadline)).await {
            Ok(answer) => Some(Ok(answer)),
            Err(Failed::For(error)) => Some(Err(error)),
            Err(Failed::Unsent(_)) => Some(Err(closed())),
            Err(Failed::Late) => None,
        }
    }

    /// On a connection that is there, or a new one. One that was closed meanwhile gives the request back untouched;
    /// nothing that has begun to be sent is ever sent again.
    async fn ask(
        &self,
        mut request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Response<Answer>, Failed> {
        let uri = request.uri().clone();
        let host = self.pool.host(&uri).map_err(Failed::For)?;
        loop {
            let way = self.way(&host, &uri, deadline).await?;
            let asked = match way {
                Way::Own { line, used } => over(line, used, &host, request, deadline).await,
                Way::Shared(shared) => beside(shared, request, deadline).await,
            };
            request = match asked {
                Err(Failed::Unsent(request)) => *request,
                asked => return asked,
            };
            *request.uri_mut() = uri.clone();
        }
    }

    async fn way(&self, host: &Host, uri: &Uri, deadline: Option<Instant>) -> Result<Way, Failed> {
        if let Some(way) = host.standing() {
            return Ok(way);
        }
        // Rare, and large: not carried by requests that find a connection.
        let opening = Box::pin(self.pool.open(host, uri));
        let opened = match deadline {
            None => opening.await,
            Some(deadline) => timeout_at(deadline, opening)
                .await
                .map_err(|_elapsed| Failed::Late)?,
        };
        opened.map_err(Failed::For)
    }
}

/// Over a connection of the request's own.
async fn over(
    mut line: Box<Line>,
    used: bool,
    host: &Arc<Host>,
    mut request: Request<Body>,
    deadline: Option<Instant>,
) -> Result<Response<Answer>, Failed> {
    request
        .headers_mut()
        .entry(HOST)
        .or_insert_with(|| host.name.clone());
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    match line.request(request, deadline).await {
        Ok(answer) => Ok(answer.map(|body| Answer::own(body, line, Arc::clone(host)))),
        // Only an old connection may have been closed before it was used: a new one that is closed at once would be
        // closed again.
        Err(Unanswered::Unsent(request, _closed)) if used => Err(Failed::Unsent(request)),
        Err(Unanswered::Unsent(_, error) | Unanswered::Broken(error)) => Err(broken(&error)),
        Err(Unanswered::Late) => Err(Failed::Late),
    }
}

/// Over a connection that is shared.
async fn beside(
    mut shared: SendRequest<Body>,
    request: Request<Body>,
    deadline: Option<Instant>,
) -> Result<Response<Answer>, Failed> {
    let sent = shared.try_send_request(request);
    let answer = match deadline {
        None => sent.await,
        Some(deadline) => timeout_at(deadline, sent)
            .await
            .map_err(|_elapsed| Failed::Late)?,
    };
    match answer {
        Ok(answer) => Ok(answer.map(Answer::shared)),
        Err(mut unsent) => Err(match unsent.take_message() {
            // The connection is closed, so the next look finds another one.
            Some(request) if shared.is_closed() => Failed::Unsent(Box::new(request)),
            Some(_) | None => broken(&unsent.into_error()),
        }),
    }
}

fn broken(error: &hyper::Error) -> Failed {
    Failed::For(EgressError::Broken(chain(error)))
}

fn closed() -> EgressError {
    EgressError::Broken("the connection was closed".to_owned())
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
