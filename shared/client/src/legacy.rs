//! Sessions with a legacy server: `initialize`, requests, the GET stream, and `DELETE`.

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
    rpc_client::{RpcClient, RpcResponse},
    send::{RequestHeaders, delete, send},
    server_client::ServerFacts,
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

/// Opens a session: `initialize` in `version`, then `notifications/initialized`. `capabilities` is a JSON object with
/// the client capabilities offered to the server. If the server rejects Streamable HTTP, the HTTP+SSE transport
/// (2024-11-05) is tried, with a stream read under `drain`.
pub async fn handshake(
    http: &HttpClient,
    endpoint: &ServerEndpoint,
    version: &str,
    capabilities: &str,
    client_info: &Implementation,
    drain: &Drain,
) -> Result<LegacyHandshake, ClientError> {
    let mut rpc = RpcClient {
        http: http.clone(),
        endpoint: endpoint.clone(),
    };
    // Ids must not repeat within a session: later requests start at 1.
    let request = message::initialize("0", version, capabilities, client_info);
    let answered = rpc.ask(RequestHeaders::none(), "0", request.clone()).await;
    let (answered, reply) = match answered {
        Err(error) if may_be_http_sse(&error) => {
            let opened = HttpSseStream::open(http, endpoint, drain).await?;
            // The server does not support HTTP+SSE either: its first error is reported.
            rpc.endpoint.http_sse = Some(opened.ok_or(error)?);
            rpc.ask(RequestHeaders::none(), "0", request).await?
        }
        answered => answered?,
    };
    let facts = ServerFacts::of_initialize(answered.result.of(&answered.message))?;
    let Some(version) = versions::accepted_from_server(&facts.version) else {
        let offered = facts.version;
        return Err(ClientError::NoCommonVersion { offered });
    };
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
        version: &str,
        client_info: &Implementation,
        drain: &Drain,
    ) -> Result<Self, ClientError> {
        let handshake = handshake(
            http,
            endpoint,
            version,
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
