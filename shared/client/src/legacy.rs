//! Sessions with a legacy server: `initialize`, requests, the GET stream, and `DELETE`.

mod version_refusal;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::HeaderValue;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
    apps,
    message::{self, Implementation},
    versions,
};
use toolgate_runtime::drain::Drain;

use crate::{
    changes::{ServerChangeFeed, session_changes},
    endpoint::ServerEndpoint,
    error::ClientError,
    http_sse::{HttpSseStream, may_be_http_sse},
    reply::ServerReply,
    rpc_client::{RpcClient, RpcResponse},
    send::{RequestHeaders, delete, send},
    server_facts::ServerFacts,
};

/// Result of the `initialize` handshake.
#[derive(Debug, Clone)]
pub struct LegacyHandshake {
    /// Session id assigned by the server, if any.
    pub session: Option<HeaderValue>,
    /// Negotiated protocol version.
    pub version: &'static str,
    /// Facts that the server reports about itself.
    pub facts: ServerFacts,
    /// Stream that carries the responses, for an HTTP+SSE server.
    pub http_sse: Option<Arc<HttpSseStream>>,
}

/// Session with one server.
#[derive(Debug)]
pub struct LegacySession {
    rpc: RpcClient,
    handshake: LegacyHandshake,
    next_id: AtomicU64,
}

/// Maximum length of an accepted session id in bytes.
const MAX_SESSION_ID: usize = 4096;

/// Version offered to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOffer<'a> {
    /// The server may select another one. If it refuses this one instead, others are offered.
    Preferred(&'a str),
    /// No other version is used.
    Pinned(&'a str),
}

/// Finds out if a modern server also speaks the legacy `version` that it names, and returns the version that it selects.
/// One `initialize` decides; the session that it opens is ended.
pub async fn spoken_legacy_version(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    version: &str,
    client_info: &Implementation,
) -> Result<Option<&'static str>, ClientError> {
    let rpc = RpcClient {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    let initialize = Initialize {
        offer: VersionOffer::Pinned(version),
        capabilities: "{}",
        client_info,
    };
    let (answered, reply) = match initialize.negotiate(&rpc).await {
        Ok(answered) => answered,
        Err(error) if error.status().is_some_and(|it| it.is_client_error()) => return Ok(None),
        Err(ClientError::Rpc(_) | ClientError::Protocol(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let facts = ServerFacts::of_initialize(answered.result.of(&answered.message))?;
    let Some(version) = versions::accepted_from_server(&facts.version) else {
        return Ok(None);
    };
    if let Some(session) = reply.session().filter(|id| is_session_id(id)) {
        let headers = RequestHeaders::legacy(version, Some(session));
        // A server that is not reached expires the session itself.
        let _ended = delete(http, endpoint, headers).await;
    }
    Ok(Some(version))
}

/// Opens a session: `initialize` with the offered version, then `notifications/initialized`. `capabilities` is a JSON
/// object with the client capabilities offered to the server. If the server rejects Streamable HTTP, the HTTP+SSE
/// transport (2024-11-05) is tried, with a stream read under `drain`.
pub async fn handshake(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    offer: VersionOffer<'_>,
    capabilities: &str,
    client_info: &Implementation,
    drain: &Drain,
) -> Result<LegacyHandshake, ClientError> {
    let mut rpc = RpcClient {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    let initialize = Initialize {
        offer,
        capabilities,
        client_info,
    };
    let (answered, reply) = match initialize.negotiate(&rpc).await {
        Err(error) if may_be_http_sse(&error) => {
            let opened = HttpSseStream::open(http, endpoint, drain).await?;
            // The server does not support HTTP+SSE either: its first error is reported.
            rpc.endpoint.http_sse = Some(opened.ok_or(error)?);
            initialize.negotiate(&rpc).await?
        }
        answered => answered?,
    };
    let facts = ServerFacts::of_initialize(answered.result.of(&answered.message))?;
    let Some(version) = versions::accepted_from_server(&facts.version) else {
        let offered = facts.version;
        return Err(ClientError::NoCommonVersion { offered });
    };
    if let VersionOffer::Pinned(pinned) = offer
        && pinned != version
    {
        let words = format!("the server answers in {version}, and {pinned} is pinned");
        return Err(ClientError::Protocol(words.into()));
    }
    let session = reply.session().cloned().map(|mut id| {
        // The session id grants access to the session.
        id.set_sensitive(true);
        id
    });
    if session.as_ref().is_some_and(|id| !is_session_id(id)) {
        let words = "the server's session id is not one that can be sent back";
        return Err(ClientError::Protocol(words.into()));
    }
    let headers = RequestHeaders::legacy(version, session.as_ref());
    let reply = send(http, &rpc.endpoint, headers, message::initialized()).await?;
    if !reply.status.is_success() {
        return Err(reply.into_problem().await);
    }
    Ok(LegacyHandshake {
        session,
        version,
        facts,
        http_sse: rpc.endpoint.http_sse,
    })
}

/// `initialize` of one session.
struct Initialize<'a> {
    offer: VersionOffer<'a>,
    capabilities: &'a str,
    client_info: &'a Implementation,
}

impl Initialize<'_> {
    /// Sends `initialize`; if the server refuses the version, again with the next one. Reports the first error.
    async fn negotiate(&self, rpc: &RpcClient) -> Result<(RpcResponse, ServerReply), ClientError> {
        let preferred = match self.offer {
            VersionOffer::Pinned(version) => return self.send(rpc, version).await,
            VersionOffer::Preferred(version) => version,
        };
        let first = self.send(rpc, preferred).await;
        let Err(refused) = &first else { return first };
        let Some(others) = version_refusal::versions_to_offer(refused, preferred) else {
            return first;
        };
        for version in others {
            if let Ok(answered) = self.send(rpc, version).await {
                return Ok(answered);
            }
        }
        first
    }

    async fn send(
        &self,
        rpc: &RpcClient,
        version: &str,
    ) -> Result<(RpcResponse, ServerReply), ClientError> {
        // Ids must not repeat within a session: later requests start at 1.
        let request = message::initialize("0", version, self.capabilities, self.client_info);
        rpc.ask(RequestHeaders::none(), "0", request).await
    }
}

fn is_session_id(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let visible = bytes.iter().all(|byte| (0x21..=0x7e).contains(byte));
    visible && (1..=MAX_SESSION_ID).contains(&bytes.len())
}

impl LegacySession {
    /// Opens a session that offers nothing to the server but page support (MCP Apps).
    pub async fn open(
        http: &HttpClient,
        endpoint: &ServerEndpoint,
        offer: VersionOffer<'_>,
        client_info: &Implementation,
        drain: &Drain,
    ) -> Result<Self, ClientError> {
        let handshake = handshake(
            http,
            endpoint,
            offer,
            apps::PAGE_CAPABILITIES,
            client_info,
            drain,
        )
        .await?;
        let rpc = RpcClient {
            http: http.clone(),
            endpoint: endpoint.clone().with_http_sse(handshake.http_sse.clone()),
        };
        Ok(Self {
            rpc,
            handshake,
            next_id: AtomicU64::new(1),
        })
    }

    /// Returns the result of the handshake.
    pub fn handshake(&self) -> &LegacyHandshake {
        &self.handshake
    }

    /// Returns the facts that the server reports about itself.
    pub fn facts(&self) -> &ServerFacts {
        &self.handshake.facts
    }

    /// Opens the session's GET stream as a change feed; `None` if the server offers none.
    pub async fn changes(&self) -> Result<Option<ServerChangeFeed>, ClientError> {
        let RpcClient { http, endpoint } = &self.rpc;
        session_changes(http, endpoint, self.headers()).await
    }

    /// Closes the session. Errors are ignored.
    pub async fn close(self) {
        if self.handshake.session.is_some() {
            let RpcClient { http, endpoint } = &self.rpc;
            let _ended = delete(http, endpoint, self.headers()).await;
        }
    }

    pub(crate) async fn page(
        &self,
        method: &str,
        cursor: Option<&str>,
    ) -> Result<RpcResponse, ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let request = message::list(method, &id, cursor, None);
        let (answered, _) = self.rpc.ask(self.headers(), &id, request).await?;
        Ok(answered)
    }

    fn headers(&self) -> RequestHeaders {
        let LegacyHandshake {
            session, version, ..
        } = &self.handshake;
        RequestHeaders::legacy(version, session.as_ref())
    }
}

#[cfg(test)]
mod tests;
