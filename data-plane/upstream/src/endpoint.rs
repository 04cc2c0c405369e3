//! Endpoint of one server, with the credential that is presented there.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use toolgate_client::{ReadLimits, ServerEndpoint};
use toolgate_data_core::{
    ServerView,
    port::{HeaderCredential, UpstreamSessionHandle},
    refusal::UpstreamFailure,
};
use toolgate_egress::{Egress, HttpClient, PoolOptions};
use toolgate_runtime::MemoryBudget;

use crate::session::old_stream;

/// Connection pool and endpoint of one server.
pub(crate) struct CallTarget {
    pub(crate) http: HttpClient,
    /// Endpoint without a credential.
    pub(crate) bare: Arc<AuthenticatedEndpoint>,
    /// Endpoint with the credential that was presented last.
    authenticated: ArcSwapOption<AuthenticatedEndpoint>,
}

/// Endpoint of a server with the credential that is presented there.
pub(crate) struct AuthenticatedEndpoint {
    pub(crate) endpoint: ServerEndpoint,
    credential: Option<Arc<HeaderCredential>>,
}

impl AuthenticatedEndpoint {
    /// Returns the endpoint with no timeout longer than `most`. Boxed, so that calls without such a limit carry no
    /// copy.
    pub(crate) fn within(&self, most: Duration) -> Box<ServerEndpoint> {
        Box::new(self.endpoint.clone().with_max_timeout(most))
    }

    /// Returns the endpoint for messages of this session: an HTTP+SSE server answers on the stream of the session.
    pub(crate) fn inside(self: Arc<Self>, session: Option<&UpstreamSessionHandle>) -> Arc<Self> {
        match session.and_then(old_stream) {
            None => self,
            old => Arc::new(Self {
                endpoint: self.endpoint.clone().with_http_sse(old),
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
    ) -> Result<Self, UpstreamFailure> {
        let endpoint = ServerEndpoint::at(&server.url, None, server.timeouts);
        let endpoint = endpoint.map_err(|error| {
            tracing::error!(server = %server.name, %error, "the server cannot be called");
            UpstreamFailure::Unreachable
        })?;
        let http = egress.http(PoolOptions {
            connect_timeout: server.timeouts.connect,
            ..PoolOptions::default()
        });
        let limits = ReadLimits {
            message: server.max_answer.bytes(),
        };
        let bare = Arc::new(AuthenticatedEndpoint {
            endpoint: endpoint
                .with_limits(limits)
                .with_response_budget(Arc::clone(answers)),
            credential: None,
        });
        Ok(Self {
            http,
            bare,
            authenticated: ArcSwapOption::empty(),
        })
    }

    /// Returns the endpoint with this credential, and keeps it for the next call.
    pub(crate) fn with(
        &self,
        credential: Arc<HeaderCredential>,
    ) -> Result<Arc<AuthenticatedEndpoint>, UpstreamFailure> {
        if let Some(last) = &*self.authenticated.load()
            && let Some(known) = &last.credential
            && Arc::ptr_eq(known, &credential)
        {
            return Ok(Arc::clone(last));
        }
        let name = HeaderName::from_bytes(credential.name.as_bytes());
        let value = HeaderValue::from_bytes(&credential.value);
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(UpstreamFailure::Credential);
        };
        value.set_sensitive(true);
        let endpoint = ServerEndpoint {
            header: Some((name, value)),
            ..self.bare.endpoint.clone()
        };
        let authenticated = Arc::new(AuthenticatedEndpoint {
            endpoint,
            credential: Some(credential),
        });
        self.authenticated.store(Some(Arc::clone(&authenticated)));
        Ok(authenticated)
    }
}
