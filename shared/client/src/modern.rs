//! Client of a modern server: stateless, every request is self-contained.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
    apps,
    definition::DefinitionKind,
    message::{self, Implementation, ModernRequestMeta},
    method, versions,
};

use crate::{
    changes::{self, ServerChangeFeed},
    endpoint::ServerEndpoint,
    error::ClientError,
    rpc_client::{RpcClient, RpcResponse},
    send::RequestHeaders,
    server_facts::ServerFacts,
};

/// Client of a modern server.
#[derive(Debug)]
pub struct ModernClient {
    rpc: RpcClient,
    facts: ServerFacts,
    legacy_version: Option<&'static str>,
    client_info: String,
}

/// Result of `server/discover`.
#[derive(Debug)]
pub(crate) struct DiscoveryResponse {
    pub(crate) versions: Vec<String>,
    pub(crate) facts: ServerFacts,
}

/// Returns a request id for modern servers that is unique within this process. A server that identifies feeds by their
/// id alone would otherwise end the wrong one.
pub fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sends `server/discover`.
pub(crate) async fn discover(
    rpc: &RpcClient,
    client_info: &Implementation,
) -> Result<DiscoveryResponse, ClientError> {
    let client = client_info.to_json();
    let request = message::discover("0", &meta(&client));
    let headers = RequestHeaders::modern(versions::MODERN, method::DISCOVER, None);
    let (answered, _) = rpc.ask(headers, "0", request).await?;
    let (versions, facts) = ServerFacts::of_discover(answered.result.of(&answered.message))?;
    Ok(DiscoveryResponse { versions, facts })
}

/// Returns the `_meta` of Toolgate's own requests: no progress, no logs, and no capability but page support (MCP Apps).
pub(crate) fn meta(client: &str) -> ModernRequestMeta<'_> {
    ModernRequestMeta {
        version: versions::MODERN,
        capabilities: apps::PAGE_CAPABILITIES,
        client: Some(client),
        progress_token: None,
        log_level: None,
        forwarded: None,
    }
}

impl ModernClient {
    /// Creates a client for a server known to be modern.
    pub(crate) fn new(
        http: &HttpClient,
        endpoint: &ServerEndpoint,
        found: DiscoveryResponse,
        client_info: &Implementation,
    ) -> Self {
        let DiscoveryResponse { versions, facts } = found;
        let is_named = |known: &&str| versions.iter().any(|version| version == known);
        Self {
            legacy_version: versions::LEGACY.into_iter().find(is_named),
            rpc: RpcClient {
                http: http.clone(),
                endpoint: endpoint.clone(),
            },
            facts: ServerFacts {
                version: versions::MODERN.to_owned(),
                ..facts
            },
            client_info: client_info.to_json(),
        }
    }

    /// Returns the newest legacy version that the server names as supported.
    pub fn legacy_version(&self) -> Option<&'static str> {
        self.legacy_version
    }

    /// Returns the facts that the server reports about itself.
    pub fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Opens a feed of the list changes that the server announces; `None` if it supports no feed.
    pub async fn changes(&self) -> Result<Option<ServerChangeFeed>, ClientError> {
        let id = next_id().to_string();
        let filter = |kind: &DefinitionKind| format!("\"{}ListChanged\":true", kind.capability());
        let announced = DefinitionKind::ALL.iter().filter(|kind| {
            // Templates change together with resources.
            **kind != DefinitionKind::Template && self.facts.announces(**kind)
        });
        let filters: Vec<String> = announced.map(filter).collect();
        let filter = format!("{{{}}}", filters.join(","));
        let RpcClient { http, endpoint } = &self.rpc;
        changes::listen(http, endpoint, &id, &filter, &meta(&self.client_info)).await
    }

    pub(crate) async fn page(
        &self,
        method: &str,
        cursor: Option<&str>,
    ) -> Result<RpcResponse, ClientError> {
        let (id, headers) = self.request(method);
        let request: Bytes = message::list(method, &id, cursor, Some(&meta(&self.client_info)));
        let (answered, _) = self.rpc.ask(headers, &id, request).await?;
        Ok(answered)
    }

    fn request(&self, method: &str) -> (String, RequestHeaders) {
        (
            next_id().to_string(),
            RequestHeaders::modern(versions::MODERN, method, None),
        )
    }
}

#[cfg(test)]
mod tests;
