//! What lies at a key, decoded. The wire form is somebody else's business (`shared/wire`, mapped in the spine).

use std::sync::Arc;

use toolgate_model::{
    Catalogue, Credential, Digest, Gateway, Meta, Organization, Proxy, SealedBlob, Server, Slug,
    Timestamp, Token, TokenHash,
};

use crate::key::Key;

/// One object of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A tenant.
    Organization(Arc<Organization>),
    /// An endpoint.
    Gateway(Arc<Gateway>),
    /// An MCP server.
    Server(Arc<Server>),
    /// What we present to a server.
    Credential(Arc<Credential>),
    /// A bearer token.
    Token(Arc<Token>),
    /// What a server was seen to offer.
    Catalogue(Arc<Catalogue>),
    /// A data-plane process.
    Proxy(Arc<Proxy>),
    /// Epoch and time of the last change.
    Marker(Marker),
    /// The organization that owns a gateway id.
    GatewayId(Slug),
    /// A sealed key of the deployment.
    SystemKey(SealedBlob),
    /// Leave for one proxy to join.
    JoinToken(JoinToken),
    /// A proxy was expelled; when its last certificate has ended.
    Expelled(Timestamp),
    /// What a request id has done.
    Request(RequestRecord),
    /// An entry of the version log.
    History(VersionRecord),
}

/// Touched by every change of what compile reads: the store revision of its last write is the version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marker {
    /// Bumped by a restore of the store.
    pub epoch: u64,
    /// When the last change was made. Compile's only notion of time, which makes it a function of the state.
    pub written: Timestamp,
}

/// Leave for one proxy to join the fleet, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Keyed hash of its secret.
    pub hash: TokenHash,
    /// Certificates issued for it name this region.
    pub region: String,
    /// When it stops working.
    pub expires: Timestamp,
}

/// What a request id has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// Of the whole request; another request under the same id is refused.
    pub request: Digest,
    /// The object it wrote or deleted.
    pub subject: Key,
    /// When the id may be forgotten.
    pub expires: Timestamp,
}

/// One entry of the version log. Its version is the store revision at which it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// Who.
    pub author: String,
    /// When.
    pub time: Timestamp,
    /// In which epoch; 0 where an earlier build did not remember it.
    pub epoch: u64,
    /// What, e.g. `update gateway acme/tools`.
    pub changes: Vec<String>,
}

impl Object {
    /// The key it belongs at; none for what does not know its own (it fits any key of its kind).
    pub fn own_key(&self) -> Option<Key> {
        match self {
            Self::Organization(it) => Some(Key::Organization(it.id.clone())),
            Self::Gateway(it) => Some(Key::Gateway(it.name.clone())),
            Self::Server(it) => Some(Key::Server(it.name.clone())),
            Self::Credential(it) => Some(Key::Credential(it.name.clone())),
            Self::Token(it) => Some(Key::Token(it.name.clone())),
            Self::Catalogue(it) => Some(Key::Catalogue(it.server.clone())),
            Self::Proxy(it) => Some(Key::Proxy(it.id.clone())),
            Self::Marker(_) => Some(Key::Marker),
            Self::JoinToken(it) => Some(Key::JoinToken(Digest(it.hash.0))),
            Self::GatewayId(_)
            | Self::SystemKey(_)
            | Self::Expelled(_)
            | Self::Request(_)
            | Self::History(_) => None,
        }
    }

    /// What every object that operators write carries.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Self::Organization(it) => Some(&it.meta),
            Self::Gateway(it) => Some(&it.meta),
            Self::Server(it) => Some(&it.meta),
            Self::Credential(it) => Some(&it.meta),
            Self::Token(it) => Some(&it.meta),
            Self::Catalogue(_)
            | Self::Proxy(_)
            | Self::Marker(_)
            | Self::GatewayId(_)
            | Self::SystemKey(_)
            | Self::JoinToken(_)
            | Self::Expelled(_)
            | Self::Request(_)
            | Self::History(_) => None,
        }
    }

    /// When it was first written, for what remembers that.
    pub fn created(&self) -> Option<Timestamp> {
        self.meta().map(|meta| meta.created)
    }

    /// When it was last written, for what remembers that.
    pub fn updated(&self) -> Option<Timestamp> {
        self.meta().map(|meta| meta.updated)
    }
}
