//! Write commands in model types. The API layer decodes the protobuf request and authorizes the caller before it
//! builds a command.

use toolgate_model::{
    Credential, Digest, Gateway, ObjectName, Organization, ProxyStatus, SealedBlob, Server,
    ServerDefinitions, Slug, Timestamp, Token, TokenHash,
};

use crate::{key::ObjectKey, object::JoinToken, port::Revision};

/// Request to change the stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Creates an object that does not exist. [`crate::decide()`] sets the timestamps in its metadata.
    Create(Desired),
    /// Replaces an object. The API layer has applied the update mask to the version that it read. Immutable values
    /// keep their stored value: the creation time, and a token's hash, hint, revocation time and system flag.
    Update {
        /// New value of the object.
        object: Desired,
        /// Revision of the object that the update is based on.
        expected: Revision,
    },
    /// Deletes an object of a kind that operators write. Quarantined objects can be deleted too.
    Delete {
        /// Key of the object.
        key: ObjectKey,
        /// Revision of the object that the deletion is based on; `None` deletes at any revision.
        expected: Option<Revision>,
    },
    /// Revokes a token. Its record stays. Revoking a revoked token is not an error.
    RevokeToken(ObjectName),
    /// Stores the result of a probe.
    RecordDefinitions(ServerDefinitions),
    /// Stores the status of a proxy.
    RecordProxy(ProxyStatus),
    /// Deletes the record of a proxy and rejects its id until its last certificate has expired.
    ForgetProxy(Slug),
    /// Creates a join token.
    CreateJoinToken(JoinToken),
    /// Redeems a join token; a token works once. Fails with [`crate::Rejection::NotFound`] if the token is unknown,
    /// used or expired.
    UseJoinToken(TokenHash),
    /// Stores a sealed deployment key that does not exist.
    CreateSystemKey {
        /// Name of the key.
        name: Slug,
        /// Sealed key.
        sealed: SealedBlob,
    },
    /// Replaces a sealed deployment key by the same key, sealed again.
    ResealSystemKey {
        /// Name of the key.
        name: Slug,
        /// Sealed key.
        sealed: SealedBlob,
        /// Revision that was read.
        expected: Revision,
    },
    /// Starts a new epoch after the store was restored from a backup. Also writes the first marker of a new
    /// deployment.
    BumpEpoch,
}

/// Object of a kind that operators write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Desired {
    /// Tenant.
    Organization(Organization),
    /// MCP endpoint that clients connect to.
    Gateway(Gateway),
    /// MCP server.
    Server(Server),
    /// Credential that proxies present to a server.
    Credential(Credential),
    /// Bearer token.
    Token(Token),
}

/// Inputs of [`crate::decide()`] besides the state and the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandContext {
    /// Current time.
    pub now: Timestamp,
    /// Author of the command for the version log, e.g. `organizations/acme/tokens/ci`.
    pub author: String,
    /// Request id, if the caller sent one. It makes a retry idempotent.
    pub request: Option<RequestId>,
}

/// Request id chosen by the caller, with the digest of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    /// Request id, unique per author.
    pub id: String,
    /// Digest of the rest of the request.
    pub digest: Digest,
}

impl Desired {
    /// Returns the key of the object.
    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Organization(it) => ObjectKey::Organization(it.id.clone()),
            Self::Gateway(it) => ObjectKey::Gateway(it.name.clone()),
            Self::Server(it) => ObjectKey::Server(it.name.clone()),
            Self::Credential(it) => ObjectKey::Credential(it.name.clone()),
            Self::Token(it) => ObjectKey::Token(it.name.clone()),
        }
    }
}

impl RequestId {
    /// Returns the key of the request record. The key covers the author, so ids of different authors do not
    /// collide.
    pub fn key(&self, author: &str) -> ObjectKey {
        ObjectKey::Request(self.record_digest(author))
    }

    /// Returns the digest under which [`crate::StoreState`] indexes the request record.
    pub fn record_digest(&self, author: &str) -> Digest {
        Digest::of(&(author, &self.id))
    }
}
