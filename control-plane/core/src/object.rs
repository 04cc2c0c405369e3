//! Decoded store objects. The wire format is defined in `shared/wire`; the `control-plane` crate maps between the
//! two.

use std::sync::Arc;

use toolgate_model::{
    Credential, Digest, Gateway, ObjectMeta, Organization, ProxyStatus, SealedBlob, Server,
    ServerDefinitions, Slug, Timestamp, Token, TokenHash,
};

use crate::key::ObjectKey;

/// Decoded object of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlObject {
    /// Tenant.
    Organization(Arc<Organization>),
    /// MCP endpoint that clients connect to.
    Gateway(Arc<Gateway>),
    /// MCP server.
    Server(Arc<Server>),
    /// Credential that proxies present to a server.
    Credential(Arc<Credential>),
    /// Bearer token.
    Token(Arc<Token>),
    /// Definitions that a server offers, as probed.
    Definitions(Arc<ServerDefinitions>),
    /// Data-plane process.
    Proxy(Arc<ProxyStatus>),
    /// Epoch and time of the last change.
    Marker(VersionMarker),
    /// Organization that owns a gateway id.
    GatewayId(Slug),
    /// Sealed deployment key.
    SystemKey(SealedBlob),
    /// Join token of a proxy.
    JoinToken(JoinToken),
    /// Expelled proxy, with the expiry of its last certificate.
    Expelled(Timestamp),
    /// Result of a request id.
    Request(RequestRecord),
    /// Entry of the version log.
    History(VersionRecord),
}

/// Written by every change of a compile input. The store revision of its last write is the version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionMarker {
    /// Epoch, incremented when the store is restored from a backup.
    pub epoch: u64,
    /// Time of the last change. Compile uses no other clock, so its result depends on the state alone.
    pub last_change: Timestamp,
}

/// Single-use token with which a proxy joins the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Keyed hash of the secret.
    pub hash: TokenHash,
    /// Region named in the certificates issued for the token.
    pub region: String,
    /// Expiry time.
    pub expires: Timestamp,
}

/// Result of a request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// Digest of the whole request. Another request with the same id is rejected.
    pub request: Digest,
    /// Key that the request wrote or deleted.
    pub subject: ObjectKey,
    /// Time from which the record may be deleted.
    pub expires: Timestamp,
}

/// Entry of the version log. Its version is the store revision of its write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// Author of the change.
    pub author: String,
    /// Time of the change.
    pub time: Timestamp,
    /// Epoch of the change; 0 in entries of builds that did not record it.
    pub epoch: u64,
    /// Descriptions of the change, e.g. `update gateway acme/tools`.
    pub changes: Vec<String>,
}

impl ControlObject {
    /// Returns the key that the object contains; `None` if the object does not contain its key and fits any key of
    /// its kind.
    pub fn own_key(&self) -> Option<ObjectKey> {
        match self {
            Self::Organization(it) => Some(ObjectKey::Organization(it.id.clone())),
            Self::Gateway(it) => Some(ObjectKey::Gateway(it.name.clone())),
            Self::Server(it) => Some(ObjectKey::Server(it.name.clone())),
            Self::Credential(it) => Some(ObjectKey::Credential(it.name.clone())),
            Self::Token(it) => Some(ObjectKey::Token(it.name.clone())),
            Self::Definitions(it) => Some(ObjectKey::Definitions(it.server.clone())),
            Self::Proxy(it) => Some(ObjectKey::Proxy(it.id.clone())),
            Self::Marker(_) => Some(ObjectKey::Marker),
            Self::JoinToken(it) => Some(ObjectKey::JoinToken(Digest(it.hash.0))),
            Self::GatewayId(_)
            | Self::SystemKey(_)
            | Self::Expelled(_)
            | Self::Request(_)
            | Self::History(_) => None,
        }
    }

    /// Returns the metadata that all operator-written objects have.
    pub fn meta(&self) -> Option<&ObjectMeta> {
        match self {
            Self::Organization(it) => Some(&it.meta),
            Self::Gateway(it) => Some(&it.meta),
            Self::Server(it) => Some(&it.meta),
            Self::Credential(it) => Some(&it.meta),
            Self::Token(it) => Some(&it.meta),
            Self::Definitions(_)
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

    /// Returns the creation time, if the object has metadata.
    pub fn created(&self) -> Option<Timestamp> {
        self.meta().map(|meta| meta.created)
    }

    /// Returns the time of the last update, if the object has metadata.
    pub fn updated(&self) -> Option<Timestamp> {
        self.meta().map(|meta| meta.updated)
    }
}
