//! Endpoints of MCP servers, with the timeouts and limits of a call.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Uri};
use toolgate_mcp::sse::SseLimits;
use toolgate_model::{CallTimeouts, MaxAnswer};
use toolgate_runtime::MemoryBudget;
use url::Url;

use crate::{error::ClientError, http_sse::HttpSseStream, presented::PresentedCredential};

/// Endpoint of one server.
#[derive(Debug, Clone)]
pub struct ServerEndpoint {
    /// URI of the Streamable HTTP endpoint.
    pub uri: Uri,
    /// Credential of each request; its values are never shown and not part of `uri`.
    pub credential: Option<PresentedCredential>,
    /// Id of this deployment, which is appended to `CDN-Loop` of each request (RFC 8586).
    pub cdn_id: Option<HeaderValue>,
    /// Timeouts of one call. `connect` does not exceed the connect timeout of the HTTP client.
    pub timeouts: CallTimeouts,
    /// Size limits of a response.
    pub limits: ReadLimits,
    /// Budget that response bytes are charged to while they are held.
    pub response_budget: Option<Arc<MemoryBudget>>,
    /// Stream that carries the responses of an HTTP+SSE server.
    pub http_sse: Option<Arc<HttpSseStream>>,
}

/// Size limits of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Maximum size in bytes of one message: a JSON document or an event of a stream.
    pub message: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            message: MaxAnswer::default().bytes(),
        }
    }
}

impl ReadLimits {
    /// Limits for small responses.
    pub const SMALL: Self = Self {
        message: 1024 * 1024,
    };

    /// Returns the limits of an SSE stream: a line holds a message and its field name, an event holds a message and a
    /// line break.
    pub(crate) fn sse(self) -> SseLimits {
        SseLimits {
            line: self.message + "data: ".len(),
            event: self.message + 1,
        }
    }
}

impl ServerEndpoint {
    /// Creates an endpoint at `url` that presents `credential`.
    pub fn new(
        url: &Url,
        credential: Option<PresentedCredential>,
        timeouts: CallTimeouts,
    ) -> Result<Self, ClientError> {
        Self::at(url.as_str(), credential, timeouts)
    }

    /// Like [`new`](Self::new), for a URL as text.
    pub fn at(
        url: &str,
        credential: Option<PresentedCredential>,
        timeouts: CallTimeouts,
    ) -> Result<Self, ClientError> {
        let uri: Uri = url
            .parse()
            .map_err(|_| ClientError::Request("the URL of the server is not valid"))?;
        if uri.authority().is_none() {
            return Err(ClientError::Request("the URL of the server names no host"));
        }
        Ok(Self {
            uri,
            credential,
            cdn_id: None,
            timeouts,
            limits: ReadLimits::default(),
            response_budget: None,
            http_sse: None,
        })
    }

    /// Sets the id of this deployment in `CDN-Loop`.
    #[must_use]
    pub fn with_cdn_id(mut self, cdn_id: Option<HeaderValue>) -> Self {
        self.cdn_id = cdn_id;
        self
    }

    /// Sets the stream that carries the responses of an HTTP+SSE server.
    #[must_use]
    pub fn with_http_sse(mut self, old: Option<Arc<HttpSseStream>>) -> Self {
        self.http_sse = old;
        self
    }

    /// Sets the budget that responses are charged to.
    #[must_use]
    pub fn with_response_budget(mut self, answers: Arc<MemoryBudget>) -> Self {
        self.response_budget = Some(answers);
        self
    }

    /// Sets the size limits.
    #[must_use]
    pub fn with_limits(mut self, limits: ReadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Caps every timeout at `most`.
    #[must_use]
    pub fn with_max_timeout(mut self, most: Duration) -> Self {
        let CallTimeouts {
            connect,
            first_byte,
            idle,
            total,
        } = &mut self.timeouts;
        for limit in [connect, first_byte, idle, total] {
            *limit = most.min(*limit);
        }
        self
    }
}
