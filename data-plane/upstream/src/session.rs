//! Network part of upstream sessions: opening and ending a session with a legacy server.

use std::sync::Arc;

use http::HeaderValue;
use toolgate_client::{HttpSseStream, RequestHeaders, VersionOffer, delete, handshake};
use toolgate_data_core::{
    port::{
        BoxedFuture, HandshakeResult, TransportState, UpstreamSessionHandle, UpstreamSessionKey,
        UpstreamSessionTransport,
    },
    refusal::UpstreamFailure,
};
use toolgate_mcp::{headers, message::Implementation, versions};

use crate::{failure, registry::UpstreamRegistry, responder::RESPONSE_TIMEOUT};

/// Opens and ends sessions with the circuit breakers and credentials that calls use.
#[derive(Debug, Clone)]
pub struct SessionNetwork(Arc<UpstreamRegistry>);

impl SessionNetwork {
    /// Creates the network part over `registry`.
    pub fn new(registry: Arc<UpstreamRegistry>) -> Self {
        Self(registry)
    }
}

impl UpstreamSessionTransport for SessionNetwork {
    fn initialize(
        &self,
        key: &UpstreamSessionKey,
    ) -> BoxedFuture<'static, Result<HandshakeResult, UpstreamFailure>> {
        let registry = Arc::clone(&self.0);
        let (key, capabilities) = (key.clone(), key.capabilities.to_json());
        Box::pin(async move { initialize(&registry, &key, &capabilities).await })
    }

    fn terminate(&self, key: &UpstreamSessionKey, session: &str) -> BoxedFuture<'static, ()> {
        let registry = Arc::clone(&self.0);
        let key = key.clone();
        let session = session.to_owned();
        Box::pin(async move {
            // A server that is not reached expires the session itself.
            let _ended = terminate(&registry, &key, &session).await;
        })
    }
}

async fn initialize(
    registry: &UpstreamRegistry,
    key: &UpstreamSessionKey,
    capabilities: &str,
) -> Result<HandshakeResult, UpstreamFailure> {
    let (server, principal) = (&key.server, &key.principal);
    let upstream = registry.upstream(server)?;
    let mut permit = upstream.permit()?;
    let authenticated = registry.authenticate(&upstream, principal).await?;
    let us = Implementation {
        name: "toolgate".to_owned(),
        title: "Toolgate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let known = server
        .protocol_version
        .as_deref()
        .and_then(versions::accepted_from_server);
    let version = VersionOffer::Preferred(known.unwrap_or(versions::LATEST_LEGACY));
    // A handshake needs no client: the long timeout of tools does not apply.
    let endpoint = authenticated
        .endpoint
        .clone()
        .with_max_timeout(server.timeouts.first_byte);
    let (http, drain) = (&upstream.target.http, &registry.drain);
    let shaken = handshake(http, &endpoint, version, capabilities, &us, drain).await;
    let shaken = shaken.map_err(|error| {
        let failure = failure::of(&error);
        tracing::warn!(server = %server.name, %error, "no session with a server");
        permit.failed(failure);
        failure
    })?;
    permit.answered();
    let session = shaken.session.as_ref();
    // Copied: a header value keeps the buffer alive that it was read into.
    let session = session.and_then(|value| value.to_str().ok()).map(Box::from);
    Ok(HandshakeResult {
        session,
        version: shaken.version.into(),
        capabilities: shaken.facts.capabilities.into(),
        transport: shaken.http_sse.map(|old| TransportState(old)),
    })
}

async fn terminate(
    registry: &UpstreamRegistry,
    key: &UpstreamSessionKey,
    session: &str,
) -> Result<(), UpstreamFailure> {
    let (server, principal) = (&key.server, &key.principal);
    let upstream = registry.upstream(server)?;
    // Bounded: a server that does not answer in time expires the other sessions itself.
    let _permit = upstream.message_permit().ok_or(UpstreamFailure::Busy)?;
    let authenticated = registry.authenticate(&upstream, principal).await?;
    let version = server
        .protocol_version
        .as_deref()
        .unwrap_or(versions::LATEST_LEGACY);
    let headers = RequestHeaders::none()
        .with(headers::VERSION, version)
        .with(headers::SESSION, session);
    let endpoint = authenticated.within(RESPONSE_TIMEOUT);
    let ended = delete(&upstream.target.http, &endpoint, headers).await;
    ended.map_err(|error| failure::of(&error))
}

/// Returns the stream of a session with an HTTP+SSE server.
pub(crate) fn old_stream(session: &UpstreamSessionHandle) -> Option<Arc<HttpSseStream>> {
    let kept = session.handshake.transport.clone()?;
    kept.0.downcast().ok()
}

/// Reports if the stream of this session has ended, and the session with it.
pub(crate) fn is_lost(session: &UpstreamSessionHandle) -> bool {
    old_stream(session).is_some_and(|stream| stream.is_closed())
}

/// Returns the headers of a message within a session.
pub(crate) fn session_headers(session: &UpstreamSessionHandle) -> RequestHeaders {
    let id = session.handshake.session.as_deref();
    let id = id.and_then(|id| HeaderValue::from_str(id).ok());
    RequestHeaders::legacy(&session.handshake.version, id.as_ref())
}

#[cfg(test)]
mod tests;
