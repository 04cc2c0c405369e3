//! The snapshot, indexed for requests. Built off the request path and swapped as one `Arc`; every request sees one
//! view from its first line to its last.
//!
//! Gateways whose inputs did not change are shared with the view before, together with the lists that were
//! serialised for them.

mod build;
mod definition;
pub(crate) mod finder;
mod gateway;
mod list;
mod own;
mod prompt;
mod renamed;
mod resource;
pub(crate) mod shape;
mod tool;

use std::{collections::BTreeMap, sync::Arc};

use toolgate_mcp::versions;
use toolgate_model::{
    Digest, Era, MaxAnswer, Name, Principal, Reach, RelayPolicy, Sharing, Slug, Timeouts,
    Timestamp, TokenHash, Version, snapshot::CredentialRef,
};

use crate::Grant;

pub use gateway::{GatewayView, INSTRUCTIONS_LIMIT, Offers};
pub use list::{LIST_TTL_MS, ListPage, PAGE};
pub use prompt::PromptView;
pub use resource::ResourceView;
pub use tool::ToolView;

/// One checked configuration, indexed.
#[derive(Debug)]
pub struct View {
    version: Version,
    gateways: BTreeMap<Box<str>, Arc<GatewayView>>,
    servers: BTreeMap<Name, Arc<ServerView>>,
    tokens: BTreeMap<TokenHash, Arc<TokenView>>,
}

/// A server as a proxy reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// Owner and id.
    pub name: Name,
    /// Absolute URL.
    pub url: Box<str>,
    /// What to present.
    pub credential: Option<CredentialRef>,
    /// The era, where known.
    pub era: Option<Era>,
    /// The version to speak, where known.
    pub protocol_version: Option<Box<str>>,
    /// Limits of a call.
    pub timeouts: Timeouts,
    /// What it may ask of clients.
    pub relay: RelayPolicy,
    /// Who shares a session with it, if it has sessions.
    pub sharing: Sharing,
    /// How much it may answer in one message.
    pub max_answer: MaxAnswer,
    /// Of its resource: differs when anything above does.
    pub digest: Digest,
}

impl ServerView {
    /// Whose it is, and where it is reached: the same only of the same server.
    pub fn identity(&self) -> String {
        format!("{} {}", self.name, self.url)
    }

    /// The version that is spoken with it, in our own spelling; empty where that is not known.
    pub fn spoken(&self) -> &'static str {
        let own = |version| versions::known(version).or_else(|| versions::of_server(version));
        match (self.protocol_version.as_deref().and_then(own), self.era) {
            (Some(version), _) => version,
            (None, Some(Era::Modern)) => versions::MODERN,
            (None, Some(Era::Legacy) | None) => "",
        }
    }
}

/// A token, by what it proves and grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// Owner and id.
    pub name: Name,
    /// What it is looked up by.
    pub hash: TokenHash,
    /// Whom it stands for.
    pub principal: Arc<Principal>,
    /// Which gateways of its organization.
    pub gateways: Reach<Slug>,
    /// What it may see and call.
    pub grant: Arc<Grant>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
    /// Of its resource.
    pub digest: Digest,
}

impl TokenView {
    /// Whether it is for this gateway at all.
    pub fn reaches(&self, gateway: &GatewayView) -> bool {
        self.principal.org == gateway.name.org && self.gateways.contains(&gateway.name.id)
    }
}

impl View {
    /// Of nothing: before the first snapshot.
    pub fn empty() -> Self {
        Self {
            version: Version::default(),
            gateways: BTreeMap::new(),
            servers: BTreeMap::new(),
            tokens: BTreeMap::new(),
        }
    }

    /// Indexes a snapshot. What does not check is left out and named; the rest serves.
    pub fn build(
        snapshot: &toolgate_model::Snapshot,
        previous: Option<&Self>,
    ) -> (Self, Vec<toolgate_model::Refusal>) {
        build::build(snapshot, previous)
    }

    /// The version it was built from.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The gateway of this id, which is unique in the deployment.
    pub fn gateway(&self, id: &str) -> Option<&Arc<GatewayView>> {
        self.gateways.get(id)
    }

    /// All gateways, by id.
    pub fn gateways(&self) -> impl Iterator<Item = &Arc<GatewayView>> {
        self.gateways.values()
    }

    /// A server.
    pub fn server(&self, name: &Name) -> Option<&Arc<ServerView>> {
        self.servers.get(name)
    }

    /// All servers, by name.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<ServerView>> {
        self.servers.values()
    }

    /// The token of this hash.
    pub fn token(&self, hash: &TokenHash) -> Option<&Arc<TokenView>> {
        self.tokens.get(hash)
    }

    /// How many gateways, servers and tokens it has.
    pub fn counts(&self) -> [usize; 3] {
        [self.gateways.len(), self.servers.len(), self.tokens.len()]
    }
}

#[cfg(test)]
mod tests;
