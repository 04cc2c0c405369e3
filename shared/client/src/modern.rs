//! Conversations with a modern server: every request says all about itself.

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

/// A modern server.
#[derive(Debug)]
pub struct ModernPeer {
    line: Line,
    facts: ServerFacts,
    us: String,
}

/// What a modern server answers to `server/discover`.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(crate) versions: Vec<String>,
    pub(crate) facts: ServerFacts,
}

/// An id that no other request of this process to a modern server has, whoever sends it: of two feeds that a server knew
/// by one id it would end the wrong one.
pub fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Asks what a server can do, the modern way.
pub(crate) async fn discover(line: &Line, us: &Implementation) -> Result<Discovery, ClientError> {
    let client = us.to_json();
    let request = message::discover("0", &meta(&client));
    let headers = Headers::modern(versions::MODERN, method::DISCOVER, None);
    let (answered, _) = line.ask(headers, "0", request).await?;
    let (versions, facts) = ServerFacts::of_discover(answered.result.of(&answered.message))?;
    Ok(Discovery { versions, facts })
}

/// `_meta` of our own requests: no progress, no logs, and no capability but that pages are shown by somebody.
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
    /// A server that is known to be modern.
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

    /// What the server says about itself.
    pub fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Its feed of changes to what it lists, as far as it tells of them; nothing if it offers none.
    pub async fn changes(&self) -> Result<Option<Changes>, ClientError> {
        let id = next_id().to_string();
        let filter = |kind: &Kind| format!("\"{}ListChanged\":true", kind.capability());
        let announced = Kind::ALL.iter().filter(|kind| {
            // Templates change with resources.
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
