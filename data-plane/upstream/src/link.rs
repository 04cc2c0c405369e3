//! The network part of our sessions with legacy servers: opening one, ending one.

use std::sync::Arc;

use toolgate_client::{RequestHeaders, delete, handshake};
use toolgate_data_core::{
    ServerView,
    port::{
        BoxedFuture, HandshakeResult, TransportState, UpstreamSessionKey, UpstreamSessionTransport,
    },
    refusal::UpstreamFailure,
};
use toolgate_mcp::{headers, message::Implementation, versions};

use crate::{failure, refuse::PATIENCE, upstream::Upstream};

/// Opens and ends sessions over the same stations, circuits and credentials as calls.
#[derive(Debug, Clone)]
pub struct Network(Arc<Upstream>);

impl Network {
    /// Over `upstream`.
    pub fn new(upstream: Arc<Upstream>) -> Self {
        Self(upstream)
    }
}

impl UpstreamSessionTransport for Network {
    fn initialize(
        &self,
        key: &UpstreamSessionKey,
    ) -> BoxedFuture<'static, Result<HandshakeResult, UpstreamFailure>> {
        let upstream = Arc::clone(&self.0);
        let (server, capabilities) = (Arc::clone(&key.server), key.capabilities.to_json());
        Box::pin(async move { initialize(&upstream, &server, &capabilities).await })
    }

    fn terminate(&self, key: &UpstreamSessionKey, session: &str) -> BoxedFuture<'static, ()> {
        let upstream = Arc::clone(&self.0);
        let server = Arc::clone(&key.server);
        let session = session.to_owned();
        Box::pin(async move {
            // A server that is not reached forgets the session by itself.
            let _ended = terminate(&upstream, &server, &session).await;
        })
    }
}

async fn initialize(
    upstream: &Upstream,
    server: &Arc<ServerView>,
    capabilities: &str,
) -> Result<HandshakeResult, UpstreamFailure> {
    let station = upstream.station(server)?;
    let mut leave = station.leave()?;
    let presented = upstream.present(&station).await?;
    let us = Implementation {
        name: "toolgate".to_owned(),
        title: "Toolgate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let known = server
        .protocol_version
        .as_deref()
        .and_then(versions::legacy);
    let version = known.unwrap_or(versions::LATEST_LEGACY);
    // A handshake asks nothing of anybody: it has no reason to take as long as a tool may.
    let endpoint = presented
        .endpoint
        .clone()
        .with_max_timeout(server.timeouts.first_byte);
    let (http, drain) = (&station.target.http, &upstream.drain);
    let shaken = handshake(http, &endpoint, version, capabilities, &us, drain).await;
    let shaken = shaken.map_err(|error| {
        let failure = failure::of(&error);
        tracing::warn!(server = %server.name, %error, "no session with a server");
        leave.failed(failure);
        failure
    })?;
    leave.worked();
    let session = shaken.session.as_ref();
    // Copied: a header's value would keep the buffer alive that it was read into.
    let session = session.and_then(|value| value.to_str().ok()).map(Box::from);
    Ok(HandshakeResult {
        session,
        version: shaken.version.into(),
        capabilities: shaken.facts.capabilities.into(),
        transport: shaken.http_sse.map(|old| TransportState(old)),
    })
}

async fn terminate(
    upstream: &Upstream,
    server: &Arc<ServerView>,
    session: &str,
) -> Result<(), UpstreamFailure> {
    let station = upstream.station(server)?;
    // A server that holds every goodbye is told so many at a time: it forgets the other sessions by itself.
    let _room = station.note().ok_or(UpstreamFailure::Busy)?;
    let presented = upstream.present(&station).await?;
    let version = server
        .protocol_version
        .as_deref()
        .unwrap_or(versions::LATEST_LEGACY);
    let headers = RequestHeaders::none()
        .with(headers::VERSION, version)
        .with(headers::SESSION, session);
    let endpoint = presented.within(PATIENCE);
    let ended = delete(&station.target.http, &endpoint, headers).await;
    ended.map_err(|error| failure::of(&error))
}
