//! Endpoints of one server, with the credentials that are presented there.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use toolgate_client::{PresentedCredential, ReadLimits, ServerEndpoint};
use toolgate_data_core::{ServerView, port::UpstreamCredential, refusal::UpstreamFailure};
use toolgate_egress::{Egress, HttpClient, PoolOptions};
use toolgate_model::Endpoint;
use toolgate_runtime::MemoryBudget;

use crate::{endpoints::ObservedEndpoints, session::UpstreamSessionHandle};

/// Connection pool and endpoints of one server.
pub(crate) struct CallTarget {
    pub(crate) http: HttpClient,
    /// Health of the endpoints.
    pub(crate) observed: ObservedEndpoints,
    first: EndpointTarget,
    others: Vec<EndpointTarget>,
}

/// Endpoint of a server, without a credential and with the shared one.
pub(crate) struct EndpointTarget {
    /// Endpoint as configured.
    configured: Arc<Endpoint>,
    /// Endpoint without a credential.
    bare: Arc<AuthenticatedEndpoint>,
    /// Endpoint with the shared credential that was presented last. A credential of one principal is not kept here:
    /// with many principals each call would replace it.
    authenticated: ArcSwapOption<AuthenticatedEndpoint>,
}

/// Endpoint of a server with the credential that is presented there.
pub(crate) struct AuthenticatedEndpoint {
    pub(crate) endpoint: ServerEndpoint,
    /// Endpoint as configured.
    pub(crate) configured: Arc<Endpoint>,
    credential: Option<Arc<UpstreamCredential>>,
}

impl AuthenticatedEndpoint {
    /// Returns the endpoint with no timeout longer than `most`. Boxed, so that calls without such a limit carry no
    /// copy.
    pub(crate) fn within(&self, most: Duration) -> Box<ServerEndpoint> {
        Box::new(self.endpoint.clone().with_max_timeout(most))
    }

    /// Returns the endpoint for messages of this session: an HTTP+SSE server answers on the stream of the session.
    pub(crate) fn inside(self: Arc<Self>, session: Option<&UpstreamSessionHandle>) -> Arc<Self> {
        match session.and_then(UpstreamSessionHandle::http_sse) {
            None => self,
            Some(stream) => Arc::new(Self {
                endpoint: self
                    .endpoint
                    .clone()
                    .with_http_sse(Some(Arc::clone(stream))),
                configured: Arc::clone(&self.configured),
                credential: self.credential.clone(),
            }),
        }
    }
}

impl CallTarget {
    pub(crate) fn new(
        egress: &Egress,
        server: &ServerView,
        answers: &Arc<MemoryBudget>,
        cdn_id: Option<&HeaderValue>,
    ) -> Result<Self, UpstreamFailure> {
        let http = egress.http(PoolOptions {
            connect_timeout: server.timeouts.connect,
            ..PoolOptions::default()
        });
        let of = |endpoint| EndpointTarget::new(server, endpoint, answers, cdn_id);
        let others = server.endpoints.iter().skip(1).map(of);
        Ok(Self {
            http,
            observed: ObservedEndpoints::default(),
            first: of(server.endpoints.first())?,
            others: others.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the endpoint of a server that has one only.
    pub(crate) fn only_endpoint(&self) -> Option<&EndpointTarget> {
        self.others.is_empty().then_some(&self.first)
    }

    /// Returns all endpoints, each with the shared credential that was presented last, if any.
    pub(crate) fn last_presented(&self) -> impl Iterator<Item = Arc<AuthenticatedEndpoint>> {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.map(|endpoint| {
            let presented = endpoint.authenticated.load_full();
            presented.unwrap_or_else(|| endpoint.bare())
        })
    }

    /// Returns the number of endpoints, at least one.
    pub(crate) fn endpoint_count(&self) -> usize {
        1 + self.others.len()
    }

    /// Returns the endpoints that are known to fail, each with the shared credential that was presented last, if any.
    pub(crate) fn failing(&self) -> Vec<Arc<AuthenticatedEndpoint>> {
        let failing = self.observed.failing();
        let is_failing = |it: &Arc<AuthenticatedEndpoint>| {
            failing
                .iter()
                .any(|failed| failed.endpoint == *it.configured)
        };
        self.last_presented().filter(is_failing).collect()
    }

    /// Returns the endpoint at this position of the configuration.
    pub(crate) fn endpoint(&self, index: usize) -> Option<&EndpointTarget> {
        match index.checked_sub(1) {
            None => Some(&self.first),
            Some(index) => self.others.get(index),
        }
    }
}

impl EndpointTarget {
    fn new(
        server: &ServerView,
        endpoint: &Endpoint,
        answers: &Arc<MemoryBudget>,
        cdn_id: Option<&HeaderValue>,
    ) -> Result<Self, UpstreamFailure> {
        let configured = Arc::new(endpoint.clone());
        let endpoint = ServerEndpoint::new(&configured.url, None, server.timeouts);
        let endpoint = endpoint.map_err(|error| {
            tracing::error!(server = %server.name, %error, "the server cannot be called");
            UpstreamFailure::Unreachable
        })?;
        let limits = ReadLimits {
            message: server.max_answer.bytes(),
        };
        let bare = Arc::new(AuthenticatedEndpoint {
            endpoint: endpoint
                .with_limits(limits)
                .with_cdn_id(cdn_id.cloned())
                .with_response_budget(Arc::clone(answers)),
            configured: Arc::clone(&configured),
            credential: None,
        });
        Ok(Self {
            configured,
            bare,
            authenticated: ArcSwapOption::empty(),
        })
    }

    /// Returns the endpoint without a credential.
    pub(crate) fn bare(&self) -> Arc<AuthenticatedEndpoint> {
        Arc::clone(&self.bare)
    }

    /// Returns the endpoint with a credential that all principals share, and keeps it for the next call.
    pub(crate) fn with_shared(
        &self,
        credential: Arc<UpstreamCredential>,
    ) -> Result<Arc<AuthenticatedEndpoint>, UpstreamFailure> {
        if let Some(last) = &*self.authenticated.load()
            && let Some(known) = &last.credential
            && Arc::ptr_eq(known, &credential)
        {
            return Ok(Arc::clone(last));
        }
        let authenticated = self.with(credential)?;
        self.authenticated.store(Some(Arc::clone(&authenticated)));
        Ok(authenticated)
    }

    /// Returns the endpoint with the shared credential that was presented last.
    #[cfg(test)]
    pub(crate) fn authenticated(&self) -> Option<Arc<AuthenticatedEndpoint>> {
        self.authenticated.load_full()
    }

    /// Returns the endpoint with this credential.
    pub(crate) fn with(
        &self,
        credential: Arc<UpstreamCredential>,
    ) -> Result<Arc<AuthenticatedEndpoint>, UpstreamFailure> {
        let hosts = credential.hosts();
        if !hosts.permits(&self.configured.url) {
            let url = &self.configured.url;
            tracing::error!(%url, %hosts, "a credential is not sent to an endpoint outside its hosts");
            return Err(UpstreamFailure::Credential);
        }
        let presented = PresentedCredential::encode(credential.fields());
        let presented = presented.ok_or(UpstreamFailure::Credential)?;
        let endpoint = ServerEndpoint {
            credential: Some(presented),
            ..self.bare.endpoint.clone()
        };
        Ok(Arc::new(AuthenticatedEndpoint {
            endpoint,
            configured: Arc::clone(&self.configured),
            credential: Some(credential),
        }))
    }
}
