//! Opening and ending sessions with legacy servers.

use std::sync::Arc;

use toolgate_client::{RequestHeaders, VersionOffer, delete, handshake};
use toolgate_data_core::{
    port::{BoxedFuture, UpstreamSessionKey, UpstreamSessionTransport},
    refusal::UpstreamFailure,
};
use toolgate_mcp::{headers, message::Implementation, versions};

use crate::{
    failure,
    registry::UpstreamRegistry,
    responder::RESPONSE_TIMEOUT,
    session::{HandshakeResult, UpstreamSessionHandle},
};

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
    type Session = UpstreamSessionHandle;

    fn initialize(
        &self,
        key: &UpstreamSessionKey,
    ) -> BoxedFuture<'static, Result<Arc<UpstreamSessionHandle>, UpstreamFailure>> {
        let registry = Arc::clone(&self.0);
        let (key, capabilities) = (key.clone(), key.capabilities.to_json());
        Box::pin(async move {
            let opened = initialize(&registry, &key, &capabilities).await?;
            let session = UpstreamSessionHandle::new(opened, registry.clock.now());
            Ok(Arc::new(session))
        })
    }

    fn terminate(
        &self,
        key: &UpstreamSessionKey,
        session: &UpstreamSessionHandle,
    ) -> BoxedFuture<'static, ()> {
        // Without an id, the server has nothing to end.
        let Some(id) = session.handshake.session_id.clone() else {
            return Box::pin(async {});
        };
        let (registry, key) = (Arc::clone(&self.0), key.clone());
        Box::pin(async move {
            // A server that is not reached expires the session itself.
            let _ended = terminate(&registry, &key, &id).await;
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
    let (http, drain) = (&upstream.target.http, &registry.drain);
    let mut others = upstream.target.endpoint_count() - 1;
    let shaken = loop {
        let authenticated = registry
            .authenticated_endpoint(&upstream, principal)
            .await?;
        // A handshake needs no client: the long timeout of tools does not apply.
        let endpoint = authenticated
            .endpoint
            .clone()
            .with_max_timeout(server.timeouts.first_byte);
        match handshake(http, &endpoint, version, capabilities, &us, drain).await {
            Err(error) if others > 0 && error.is_endpoint_unreachable() => {
                upstream.set_endpoint_aside(&authenticated, &error);
                others -= 1;
            }
            shaken => {
                if shaken.is_ok() {
                    upstream.record_endpoint_answer(&authenticated);
                }
                break shaken;
            }
        }
    };
    let shaken = shaken.map_err(|error| {
        let failure = failure::of(&error);
        tracing::warn!(server = %server.name, %error, "no session with a server");
        upstream.describe_failure(failure, &error.public_message());
        permit.record_failure(failure);
        failure
    })?;
    permit.record_success();
    let id = shaken.session.as_ref();
    // Copied: a header value keeps the buffer alive that it was read into.
    let id = id.and_then(|value| value.to_str().ok()).map(Box::from);
    Ok(HandshakeResult {
        session_id: id,
        version: shaken.version.into(),
        capabilities: shaken.facts.capabilities.into(),
        http_sse: shaken.http_sse,
    })
}

async fn terminate(
    registry: &UpstreamRegistry,
    key: &UpstreamSessionKey,
    session_id: &str,
) -> Result<(), UpstreamFailure> {
    let (server, principal) = (&key.server, &key.principal);
    let upstream = registry.upstream(server)?;
    // Bounded: a server that does not answer in time expires the other sessions itself.
    let _permit = upstream.message_permit().ok_or(UpstreamFailure::Busy)?;
    let authenticated = registry
        .authenticated_endpoint(&upstream, principal)
        .await?;
    let version = server
        .protocol_version
        .as_deref()
        .unwrap_or(versions::LATEST_LEGACY);
    let headers = RequestHeaders::none()
        .with(headers::VERSION, version)
        .with(headers::SESSION, session_id);
    let endpoint = authenticated.within(RESPONSE_TIMEOUT);
    let ended = delete(&upstream.target.http, &endpoint, headers).await;
    ended.map_err(|error| failure::of(&error))
}

#[cfg(test)]
mod tests;
