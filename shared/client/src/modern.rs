//! Client of a modern server: stateless, every request is self-contained.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use toolgate_egress::HttpClient;
use toolgate_mcp::{
    apps,
    definition::Kind,
    message::{self, Implementation, ModernMeta},
    method, versions,
};

use crate::{
    changes::{self, Changes},
    conversation::{Answered, Line},
    endpoint::Endpoint,
    error::ClientError,
    peer::ServerFacts,
    send::Headers,
};

/// Client of a modern server.
#[derive(Debug)]
pub struct ModernPeer {
    line: Line,
    facts: ServerFacts,
    us: String,
}

/// Result of `server/discover`.
#[derive(Debug)]
pub(crate) struct Discovery {
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
pub(crate) async fn discover(line: &Line, us: &Implementation) -> Result<Discovery, ClientError> {
    let client = us.to_json();
    let request = message::discover("0", &meta(&client));
    let headers = Headers::modern(versions::MODERN, method::DISCOVER, None);
    let (answered, _) = line.ask(headers, "0", request).await?;
    let (versions, facts) = ServerFacts::of_discover(answered.result.of(&answered.message))?;
    Ok(Discovery { versions, facts })
}

/// Returns the `_meta` of Toolgate's own requests: no progress, no logs, and no capability but page support (MCP Apps).
fn meta(client: &str) -> ModernMeta<'_> {
    ModernMeta {
        version: versions::MODERN,
        capabilities: apps::SHOWS_PAGES,
        client: Some(client),
        progress_token: None,
        log_level: None,
        carry: None,
    }
}

impl ModernPeer {
    /// Creates a client for a server known to be modern.
    pub fn new(
        http: &HttpClient,
        endpoint: &Endpoint,
        facts: ServerFacts,
        us: &Implementation,
    ) -> Self {
        Self {
            line: Line {
                http: http.clone(),
                endpoint: endpoint.clone(),
            },
            facts: ServerFacts {
                version: versions::MODERN.to_owned(),
                ..facts
            },
            us: us.to_json(),
        }
    }

    /// Returns the facts that the server reports about itself.
    pub fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Opens a feed of the list changes that the server announces; `None` if it supports no feed.
    pub async fn changes(&self) -> Result<Option<Changes>, ClientError> {
        let id = next_id().to_string();
        let filter = |kind: &Kind| format!("\"{}ListChanged\":true", kind.capability());
        let announced = Kind::ALL.iter().filter(|kind| {
            // Templates change together with resources.
            **kind != Kind::Template && self.facts.announces(**kind)
        });
        let filters: Vec<String> = announced.map(filter).collect();
        let filter = format!("{{{}}}", filters.join(","));
        let Line { http, endpoint } = &self.line;
        changes::listen(http, endpoint, &id, &filter, &meta(&self.us)).await
    }

    pub(crate) async fn page(
        &self,
        method: &str,
        cursor: Option<&str>,
    ) -> Result<Answered, ClientError> {
        let (id, headers) = self.request(method);
        let request: Bytes = message::list(method, &id, cursor, Some(&meta(&self.us)));
        let (answered, _) = self.line.ask(headers, &id, request).await?;
        Ok(answered)
    }

    fn request(&self, method: &str) -> (String, Headers) {
        (
            next_id().to_string(),
            Headers::modern(versions::MODERN, method, None),
        )
    }
}

#[cfg(test)]
mod tests;
