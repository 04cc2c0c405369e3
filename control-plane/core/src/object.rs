//! Decoded store objects. The wire format is defined in `shared/wire`; the `control-plane` crate maps between the
//! two.

use std::sync::Arc;

use toolgate_model::{
    DefinitionsPart, Digest, GatewayClaim, ObjectMeta, ProxyStatus, SealedBlob, Timestamp,
    TokenHash, for_each_kind,
    kind::{DesiredObject as _, KindObject as _},
};

use crate::key::ObjectKey;

macro_rules! define_objects {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        /// Decoded object of the store.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ControlObject {
            $($(#[$ddoc])* $D(Arc<$DObject>),)*
            $($(#[$odoc])* $O(Arc<$OObject>),)*
            /// Epoch and time of the last change.
            Marker(VersionMarker),
            /// Claim of a gateway id.
            GatewayId(GatewayClaim),
            /// Sealed deployment key.
            SystemKey(SealedBlob),
            /// Join token of a proxy.
            JoinToken(JoinToken),
            /// Expelled proxy, with the expiry of its last certificate.
            Expelled(Timestamp),
            /// Result of a request id.
            Request(RequestRecord),
            /// Part of the definitions of a server.
            DefinitionsPart(Arc<DefinitionsPart>),
            /// Entry of the version log.
            History(VersionRecord),
        }

        impl ControlObject {
            /// Returns the key that the object contains; `None` if the object does not contain its key and fits any
            /// key of its kind.
            pub fn own_key(&self) -> Option<ObjectKey> {
                match self {
                    $(Self::$D(it) => Some(ObjectKey::$D(it.id().clone())),)*
                    $(Self::$O(it) => Some(ObjectKey::$O(it.id().clone())),)*
                    Self::Marker(_) => Some(ObjectKey::Marker),
                    Self::JoinToken(it) => Some(ObjectKey::JoinToken(Digest(it.hash.0))),
                    Self::GatewayId(_)
                    | Self::SystemKey(_)
                    | Self::Expelled(_)
                    | Self::Request(_)
                    | Self::DefinitionsPart(_)
                    | Self::History(_) => None,
                }
            }

            /// Returns the metadata that all operator-written objects have.
            pub fn meta(&self) -> Option<&ObjectMeta> {
                match self {
                    $(Self::$D(it) => Some(it.meta()),)*
                    $(Self::$O(_) => None,)*
                    Self::Marker(_)
                    | Self::GatewayId(_)
                    | Self::SystemKey(_)
                    | Self::JoinToken(_)
                    | Self::Expelled(_)
                    | Self::Request(_)
                    | Self::DefinitionsPart(_)
                    | Self::History(_) => None,
                }
            }

            /// Returns `true` if the object may be stored at `key`.
            pub fn fits(&self, key: &ObjectKey) -> bool {
                match self {
                    $(Self::$D(it) => matches!(key, ObjectKey::$D(id) if id == it.id()),)*
                    $(Self::$O(it) => matches!(key, ObjectKey::$O(id) if id == it.id()),)*
                    Self::Marker(_) => *key == ObjectKey::Marker,
                    Self::JoinToken(it) => *key == ObjectKey::JoinToken(Digest(it.hash.0)),
                    Self::GatewayId(_) => matches!(key, ObjectKey::GatewayId(_)),
                    Self::SystemKey(_) => matches!(key, ObjectKey::SystemKey(_)),
                    Self::Expelled(_) => matches!(key, ObjectKey::Expelled(_)),
                    Self::Request(_) => matches!(key, ObjectKey::Request(_)),
                    Self::DefinitionsPart(it) => {
                        matches!(key, ObjectKey::DefinitionsPart(server, _) if *server == it.server)
                    }
                    Self::History(_) => matches!(key, ObjectKey::History(_)),
                }
            }
        }
    };
}

for_each_kind!(define_objects);

impl ControlObject {
    /// Returns the status of a proxy, if the object is one.
    pub fn proxy_status(&self) -> Option<&ProxyStatus> {
        let Self::Proxy(status) = self else {
            return None;
        };
        Some(status)
    }
}

impl From<ProxyStatus> for ControlObject {
    fn from(status: ProxyStatus) -> Self {
        Self::Proxy(Arc::new(status))
    }
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
