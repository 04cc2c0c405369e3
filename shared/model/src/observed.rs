//! What has been seen: catalogues of servers, and proxies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Digest, Name, ResourceKey, Slug, Timestamp, Version};

/// Protocol era. Legacy has sessions, modern has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Era {
    /// 2025-11-25 and before.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// What a server was seen to offer, normalised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The server.
    pub server: Name,
    /// The era it was probed with; none when no probe has succeeded yet.
    pub era: Option<Era>,
    /// The protocol version negotiated.
    pub protocol_version: String,
    /// The name it gives itself. For people only.
    pub server_name: String,
    /// The version it gives itself. For people only.
    pub server_version: String,
    /// Its instructions to agents; untrusted text, capped.
    pub instructions: String,
    /// Its capabilities, JSON object as received.
    pub capabilities: String,
    /// Tools, in the server's own order, as are the lists that follow.
    pub tools: Vec<Definition>,
    /// Prompts.
    pub prompts: Vec<Definition>,
    /// Resources that it lists; it may have more.
    pub resources: Vec<Definition>,
    /// Templates of resources.
    pub templates: Vec<Definition>,
    /// When the last probe ended.
    pub probed: Timestamp,
    /// Why the last probe failed, with what to do; what could not be listed is then as seen before.
    pub problem: Option<String>,
    /// Since when there has been a problem.
    pub problem_since: Option<Timestamp>,
}

impl Catalogue {
    /// With the beginning of its problem, if it has one: that of the catalogue before it, if that had one too.
    #[must_use]
    pub fn troubled_since(mut self, before: Option<&Self>) -> Self {
        let before = before.filter(|before| before.problem.is_some());
        let began = before.map_or(self.probed, |it| it.problem_since.unwrap_or(it.probed));
        self.problem_since = self.problem.as_ref().map(|_| began);
        self
    }
}

/// One thing that a server offers: a tool, a prompt, a resource, or a template of resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// What the server knows it by: the name of a tool or prompt, the URI of a resource, the URI template.
    pub name: String,
    /// Of its canonical definition (keys sorted, no insignificant space).
    pub digest: Digest,
    /// The definition as received: a JSON object, byte for byte.
    pub json: Arc<str>,
}

/// One data-plane process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// Its id, unique in the deployment.
    pub id: Slug,
    /// Where it stands.
    pub region: String,
    /// Its program version.
    pub build: String,
    /// Where clients reach it.
    pub listen: String,
    /// When it started.
    pub started: Timestamp,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// Whether a push stream stands.
    pub connected: bool,
    /// What it was sent last.
    pub held: Version,
    /// What it acknowledged last, with or without refusals.
    pub acked: Version,
    /// What it refused of that.
    pub refusals: Vec<Refusal>,
}

/// One resource that a proxy did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which.
    pub resource: ResourceKey,
    /// Why, in words.
    pub reason: String,
}
