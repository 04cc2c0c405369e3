//! Snapshot indexed for requests. A view is built outside of the request path and replaced as one `Arc`; a request
//! uses one view throughout.
//!
//! What did not change is shared with the previous view. Gateways are shared together with their serialized lists.

pub mod uri;

mod build;
mod builtin_tools;
mod definition;
mod gateway;
mod list;
mod prompt;
mod renamed_definition;
mod resource;
pub(crate) mod shape;
mod tool;
pub(crate) mod tool_index;

use std::sync::Arc;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use toolgate_mcp::versions;
use toolgate_model::{
    CallTimeouts, Digest, EndpointList, Era, MaxAnswer, ObjectName, Principal, RelayPolicy,
    ResourceKey, ReverseIndex, SessionSharing, Slug, SnapshotEntries, Version,
    snapshot::CredentialRef,
};

use crate::{
    AuthnId, Caller, Grant,
    authn::{external::TrustAnchor, token_view::TokenView},
};

use build::{ServerOffer, SharedValues};

pub use gateway::{GatewayDenial, GatewayFeatures, GatewayView, INSTRUCTIONS_LIMIT};
pub use list::{LIST_TTL_MS, ListPage, PAGE_SIZE};
pub use prompt::PromptView;
pub use resource::ResourceView;
pub use tool::ToolView;

/// Indexed, checked configuration. Clones share their content.
#[derive(Debug, Clone)]
pub struct View {
    version: Version,
    /// Entries of the snapshot.
    entries: SnapshotEntries,
    gateways: RedBlackTreeMapSync<Box<str>, Arc<GatewayView>>,
    servers: RedBlackTreeMapSync<ObjectName, Arc<ServerView>>,
    /// Definitions of servers, with what gateways need of them.
    offers: RedBlackTreeMapSync<ObjectName, Arc<ServerOffer>>,
    tokens: RedBlackTreeMapSync<AuthnId, Arc<TokenView>>,
    /// Anchors by which gateways admit callers of identity providers.
    trust_anchors: RedBlackTreeSetSync<TrustAnchor>,
    /// Reasons why entries, or parts of them, are not served in their current form.
    rejections: RedBlackTreeMapSync<ResourceKey, Vec<String>>,
    /// Ids of the gateways of the same organization that name a server.
    gateways_by_server: ReverseIndex<ObjectName, Slug>,
    /// Organizations with a gateway of an id.
    gateways_by_id: ReverseIndex<Slug, Slug>,
    /// Names of the tokens with an id.
    tokens_by_id: ReverseIndex<AuthnId, ObjectName>,
    principals: SharedValues<Principal, Principal>,
    grants: SharedValues<Digest, Grant>,
    /// Gateway up to which the cached lists were checked last.
    checked_until: Option<Slug>,
    visited: usize,
    definition_reads: usize,
}

/// Item of a list.
trait ListItem {
    /// Approximate length of the definition, in bytes.
    fn weight(&self) -> usize;

    /// Writes the definition as clients of this era see it.
    fn write(&self, era: Era, out: &mut String);
}

/// View of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// Organization and id.
    pub name: ObjectName,
    /// Endpoints, in order of preference.
    pub endpoints: EndpointList,
    /// Credential to present to the server.
    pub credential: Option<CredentialRef>,
    /// Protocol era, if known.
    pub era: Option<Era>,
    /// Protocol version to use, if known.
    pub protocol_version: Option<Box<str>>,
    /// The same server in the legacy era, for legacy clients, if a modern server speaks both.
    pub legacy: Option<Arc<ServerView>>,
    /// Timeouts of calls.
    pub timeouts: CallTimeouts,
    /// Kinds of client input that the server may request.
    pub relay: RelayPolicy,
    /// Sharing of sessions between callers, for servers with sessions.
    pub sharing: SessionSharing,
    /// Maximum size of one message of the server.
    pub max_answer: MaxAnswer,
    /// Digest of the server resource; differs if any field above differs.
    pub digest: Digest,
}

impl ServerView {
    /// Owner, id and URLs as one string, which identifies the server in digests.
    pub fn identity(&self) -> String {
        let mut identity = self.name.to_string();
        for endpoint in self.endpoints.iter() {
            identity.push(' ');
            identity.push_str(endpoint.url.as_str());
        }
        identity
    }

    /// Returns the server in the era in which a client of `era` is served.
    pub fn for_client(self: &Arc<Self>, era: Era) -> &Arc<Self> {
        match (era, &self.legacy) {
            (Era::Legacy, Some(legacy)) => legacy,
            (Era::Legacy | Era::Modern, _) => self,
        }
    }

    /// Protocol version used with the server, or an empty string if it is not known.
    pub fn spoken_version(&self) -> &'static str {
        let own =
            |version| versions::known(version).or_else(|| versions::accepted_from_server(version));
        match (self.protocol_version.as_deref().and_then(own), self.era) {
            (Some(version), _) => version,
            (None, Some(Era::Modern)) => versions::MODERN,
            (None, Some(Era::Legacy) | None) => "",
        }
    }
}

impl View {
    /// Creates an empty view, for use before the first snapshot.
    pub fn empty() -> Self {
        Self {
            version: Version::default(),
            entries: SnapshotEntries::default(),
            gateways: RedBlackTreeMapSync::new_sync(),
            servers: RedBlackTreeMapSync::new_sync(),
            offers: RedBlackTreeMapSync::new_sync(),
            tokens: RedBlackTreeMapSync::new_sync(),
            trust_anchors: RedBlackTreeSetSync::new_sync(),
            rejections: RedBlackTreeMapSync::new_sync(),
            gateways_by_server: ReverseIndex::default(),
            gateways_by_id: ReverseIndex::default(),
            tokens_by_id: ReverseIndex::default(),
            principals: SharedValues::default(),
            grants: SharedValues::default(),
            checked_until: None,
            visited: 0,
            definition_reads: 0,
        }
    }

    /// Indexes a snapshot. If it is derived from that of the previous view, only the entries that were written since are
    /// looked at, and the gateways over a server among them. Invalid resources are left out and returned as rejections; all others are served.
    pub fn build(
        snapshot: &toolgate_model::Snapshot,
        previous: Option<&Self>,
    ) -> (Self, Vec<toolgate_model::ResourceRejection>) {
        build::build(snapshot, previous)
    }

    /// Version of the snapshot.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the gateway with this id, which is unique in the deployment.
    pub fn gateway(&self, id: &str) -> Option<&Arc<GatewayView>> {
        self.gateways.get(id)
    }

    /// All gateways, sorted by id.
    pub fn gateways(&self) -> impl Iterator<Item = &Arc<GatewayView>> {
        self.gateways.values()
    }

    /// Returns the server with this name.
    pub fn server(&self, name: &ObjectName) -> Option<&Arc<ServerView>> {
        self.servers.get(name)
    }

    /// All servers, sorted by name.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<ServerView>> {
        self.servers.values()
    }

    /// Returns `true` if the configuration admits the proof with this id: an API token that exists, or a token verified by a key
    /// of an identity provider that a gateway still trusts. Neither expiry nor revocation is considered.
    pub fn is_known(&self, id: &AuthnId) -> bool {
        self.tokens.contains_key(id) || self.trust_anchors.contains(&TrustAnchor::of_proof(id))
    }

    /// Returns what the proof with this id gives access to at the gateway; `None` if it does not admit to the gateway.
    pub fn grant_at<'a>(
        &'a self,
        gateway: &'a GatewayView,
        id: &AuthnId,
    ) -> Option<&'a Arc<Grant>> {
        if let Some(caller) = self.caller(id) {
            return caller.may_enter(gateway).then(|| caller.grant());
        }
        gateway.trust.as_ref()?.grant_of(id)
    }

    /// Returns the caller that the API token with this id authenticates. Neither expiry nor revocation is considered.
    pub fn caller(&self, id: &AuthnId) -> Option<&Caller> {
        self.token(id).map(|token| &token.caller)
    }

    /// Returns the token with this id.
    pub(crate) fn token(&self, id: &AuthnId) -> Option<&Arc<TokenView>> {
        self.tokens.get(id)
    }

    /// Callers of all proofs in the configuration.
    pub fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.tokens.values().map(|token| &token.caller)
    }

    /// Number of gateways, servers and tokens.
    pub fn counts(&self) -> [usize; 3] {
        [
            self.gateways.size(),
            self.servers.size(),
            self.tokens.size(),
        ]
    }

    /// Number of entries that the construction of the view looked at.
    pub fn visited(&self) -> usize {
        self.visited
    }

    /// Number of definitions that the construction of the view read. A definition is read once for all gateways.
    pub fn definition_reads(&self) -> usize {
        self.definition_reads
    }
}

#[cfg(test)]
mod tests;
