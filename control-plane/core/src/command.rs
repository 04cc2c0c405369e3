//! Write commands in model types. The API layer decodes the protobuf request and authorizes the caller before it
//! builds a command.

use std::{fmt, sync::Arc};

use toolgate_model::{
    DefinitionsPart, Digest, ObjectName, ProxyStatus, SealedBlob, ServerDefinitions, Slug,
    Timestamp, TokenHash, Uid, VerificationKey, for_each_kind, kind::KindObject as _,
};

use crate::{
    access_right::{AccessRight, CallerIdentity, is_allowed},
    key::ObjectKey,
    object::JoinToken,
    port::Revision,
};

/// Request to change the stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Creates an object that does not exist. [`crate::decide()`] sets the timestamps in its metadata.
    Create(OperatorObject),
    /// Replaces an object. The API layer has applied the update mask to the version that it read. Immutable values
    /// keep their stored value: the creation time, and a token's hash, hint, revocation time and system flag.
    Update {
        /// New value of the object.
        object: OperatorObject,
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
    /// Stores a part of the definitions of a server, before [`Self::RecordDefinitions`] names it.
    RecordDefinitionsPart(Arc<DefinitionsPart>),
    /// Stores the keys that were fetched from an identity provider, or why they could not be.
    RecordProviderKeys {
        /// Provider.
        name: ObjectName,
        /// Uid of the provider that was asked.
        uid: Uid,
        /// Keys, or the error. With an error, the keys before stay.
        found: Result<Vec<VerificationKey>, String>,
    },
    /// Stores the status of a proxy.
    RecordProxy(ProxyStatus),
    /// Deletes the record of a proxy and rejects its id until its last certificate has expired.
    ForgetProxy(Slug),
    /// Ends the rejection of a proxy id. Fails with [`crate::Rejection::NotFound`] if the id is not rejected.
    AdmitProxy(Slug),
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

/// Priority of a write in a store that fills up. The order is from the first to give way to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WritePriority {
    /// Observation of a server. It is made again later.
    Observation,
    /// Configuration by operators, and what the fleet needs to work.
    Configuration,
    /// Deletion or revocation: makes room, or takes access away.
    Removal,
}

impl Command {
    /// Returns the priority of the command's write.
    pub fn priority(&self) -> WritePriority {
        match self {
            Self::RecordDefinitions(_) | Self::RecordDefinitionsPart(_) => {
                WritePriority::Observation
            }
            Self::Create(_)
            | Self::Update { .. }
            | Self::RecordProxy(_)
            | Self::RecordProviderKeys { .. }
            | Self::AdmitProxy(_)
            | Self::CreateJoinToken(_)
            | Self::CreateSystemKey { .. }
            | Self::ResealSystemKey { .. } => WritePriority::Configuration,
            Self::Delete { .. }
            | Self::RevokeToken(_)
            | Self::ForgetProxy(_)
            | Self::UseJoinToken(_)
            | Self::BumpEpoch => WritePriority::Removal,
        }
    }
}

macro_rules! define_desired {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed $observed:tt
    ) => {
        /// Object of a kind that operators write.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum OperatorObject {
            $($(#[$ddoc])* $D($DObject),)*
        }

        impl OperatorObject {
            /// Returns the key of the object.
            pub fn key(&self) -> ObjectKey {
                match self {
                    $(Self::$D(it) => ObjectKey::$D(it.id().clone()),)*
                }
            }
        }

        $(
            impl From<$DObject> for OperatorObject {
                fn from(object: $DObject) -> Self {
                    Self::$D(object)
                }
            }
        )*
    };
}

for_each_kind!(define_desired);

/// Inputs of [`crate::decide()`] besides the state and the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandContext {
    /// Current time.
    pub now: Timestamp,
    /// Author of the command.
    pub author: CommandAuthor,
    /// Request id, if the caller sent one. It makes a retry idempotent.
    pub request: Option<RequestId>,
}

/// Author of a command. Its text stands in the version log, e.g. `organizations/acme/tokens/ci`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandAuthor {
    /// Authenticated caller.
    Caller(CallerIdentity),
    /// Background task of the control plane with this name, e.g. `prober`.
    Task(&'static str),
}

impl CommandAuthor {
    /// Author of the commands that the control plane itself gives when it starts.
    pub const SYSTEM: Self = Self::Caller(CallerIdentity::System);

    /// Returns `true` if the author has `right` in organization `org`. A background task has no rights: what it writes
    /// needs none.
    pub fn has_right(&self, right: AccessRight, org: &Slug) -> bool {
        match self {
            Self::Caller(identity) => is_allowed(identity, right, Some(org)),
            Self::Task(_) => false,
        }
    }
}

impl fmt::Display for CommandAuthor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(identity) => f.write_str(&identity.author()),
            Self::Task(name) => write!(f, "system/{name}"),
        }
    }
}

/// Request id chosen by the caller, with the digest of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    /// Request id, unique per author.
    pub id: String,
    /// Digest of the rest of the request.
    pub digest: Digest,
}

impl RequestId {
    /// Returns the key of the request record. The key covers the author, so ids of different authors do not
    /// collide.
    pub fn key(&self, author: &CommandAuthor) -> ObjectKey {
        ObjectKey::Request(self.record_digest(author))
    }

    /// Returns the digest under which [`crate::StoreState`] indexes the request record.
    pub fn record_digest(&self, author: &CommandAuthor) -> Digest {
        Digest::of(&(author.to_string(), &self.id))
    }
}
