//! Conversion of the values of the store. Each value is one [`StoreRecord`]: author, time and object. Decoding any
//! bytes yields a record or an [`InvalidRecord`] that is safe to display: it never panics and the error contains no
//! secret.

mod decode;
mod stored_form;

use std::sync::Arc;

use prost::Message as _;
use toolgate_model::{
    DefinitionsPart, Digest, GatewayClaim, SealedBlob, Timestamp, TokenHash, for_each_kind,
};
use toolgate_proto::{admin::v1::credential_spec::Kind, store::v1 as pb};

use crate::admin::part_to_proto;
use stored_form::{StoredForm as _, manifest_to_proto, sealed_to_proto};

pub use decode::{InvalidRecord, decode};

/// Highest schema number that this build reads and writes.
///
/// | schema | content |
/// |---|---|
/// | 1 | the first form |
/// | 2 | a server has `endpoints` instead of `url`; objects have rate limits |
/// | 3 | a credential has `hosts` |
/// | 4 | a token has the uids of its gateways |
/// | 5 | a credential has `request_fields`; the definitions of a server may be stored in parts |
/// | 6 | there are identity providers, and gateways that admit their callers |
///
/// A record is written with the lowest schema that can express it, so that a control plane of the previous build reads
/// everything that it understands.
pub const SCHEMA: u32 = 6;

/// Returns the lowest schema that can express the object. A control plane that does not know a limit, the hosts of a
/// credential, or the gateways of a token must not read the object without it: it would serve it unlimited, and write it
/// back so.
fn schema_of(object: &pb::record::Object) -> u32 {
    use pb::record::Object as In;
    let beyond_first = match object {
        In::Organization(it) => {
            let spec = it.spec.as_ref();
            spec.is_some_and(|spec| !spec.rate_limits.is_empty())
        }
        In::IdentityProvider(_) => return 6,
        In::Gateway(it) if admits_providers(it) => return 6,
        In::Gateway(it) => it.spec.as_ref().is_some_and(|spec| {
            let mut bindings = spec.bindings.iter();
            !spec.rate_limits.is_empty() || bindings.any(|it| !it.rate_limits.is_empty())
        }),
        In::Server(it) => {
            let spec = it.spec.as_ref();
            spec.is_some_and(|spec| !spec.endpoints.is_empty() || !spec.rate_limits.is_empty())
        }
        In::Token(it) if !it.gateway_uids.is_empty() => return 4,
        In::Token(it) => {
            let spec = it.token.as_ref().and_then(|token| token.spec.as_ref());
            spec.is_some_and(|spec| !spec.rate_limits.is_empty())
        }
        In::Credential(it) => {
            let spec = it.credential.as_ref().and_then(|it| it.spec.as_ref());
            let kind = spec.and_then(|spec| spec.kind.as_ref());
            if let Some(Kind::RequestFields(_)) = kind {
                return 5;
            }
            let bound = spec.is_some_and(|spec| !spec.hosts.is_empty());
            return if bound { 3 } else { 1 };
        }
        In::CatalogueManifest(_) | In::CataloguePart(_) => return 5,
        In::Catalogue(_)
        | In::Proxy(_)
        | In::Marker(_)
        | In::Sealed(_)
        | In::JoinToken(_)
        | In::Idempotency(_)
        | In::Version(_)
        | In::GatewayId(_)
        | In::Expelled(_) => false,
    };
    if beyond_first { 2 } else { 1 }
}

fn admits_providers(gateway: &toolgate_proto::admin::v1::Gateway) -> bool {
    let spec = gateway.spec.as_ref();
    spec.is_some_and(|spec| !spec.identity_providers.is_empty())
}

/// Value of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRecord {
    /// Time of the write.
    pub written: Timestamp,
    /// Author of the write, e.g. `organizations/acme/tokens/ci`.
    pub author: String,
    /// Stored object.
    pub object: StoredObject,
}

macro_rules! define_stored_object {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        /// Object of the store.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum StoredObject {
            $($(#[$ddoc])* $D(Arc<$DObject>),)*
            $($(#[$odoc])* $O(Arc<$OObject>),)*
            /// Bookkeeping of the deployment.
            System(SystemRecord),
        }

        fn object_to_proto(object: &StoredObject) -> pb::record::Object {
            use pb::record::Object as Out;
            match object {
                $(StoredObject::$D(it) => Out::$DMessage(it.to_stored()),)*
                $(StoredObject::$O(it) => Out::$OMessage(it.to_stored()),)*
                StoredObject::System(it) => system_to_proto(it),
            }
        }
    };
}

for_each_kind!(define_stored_object);

/// Bookkeeping of the deployment in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemRecord {
    /// Epoch of the store. `written` of its record is the time of the last change.
    Marker {
        /// Epoch, incremented by a restore.
        epoch: u64,
    },
    /// Claim of a gateway id.
    GatewayId(GatewayClaim),
    /// Sealed key of the deployment.
    SealedKey(SealedBlob),
    /// Permission for one proxy to join.
    JoinToken {
        /// Keyed hash of its secret.
        hash: TokenHash,
        /// Region named in the certificates issued for it.
        region: String,
        /// Expiry time.
        expires: Timestamp,
    },
    /// Expelled proxy.
    ExpelledProxy {
        /// Time at which its last certificate expires.
        expires: Timestamp,
    },
    /// Result of an idempotent request.
    IdempotencyEntry {
        /// Digest of the whole request.
        request: Digest,
        /// Store key of the object that was written or deleted.
        subject: String,
        /// Time after which the request id may be forgotten.
        expires: Timestamp,
    },
    /// Part of the definitions of a server.
    DefinitionsPart(Arc<DefinitionsPart>),
    /// Entry of the version log. The record holds its author and time.
    VersionLogEntry {
        /// Epoch in which the change was made. 0 if it was not recorded.
        epoch: u64,
        /// Changes, one line each.
        changes: Vec<String>,
    },
}

/// Encodes a record. Equal records yield equal bytes.
pub fn encode(record: &StoreRecord) -> Vec<u8> {
    let object = if let StoredObject::Definitions(it) = &record.object
        && !it.parts.is_empty()
    {
        pb::record::Object::CatalogueManifest(manifest_to_proto(it))
    } else {
        object_to_proto(&record.object)
    };
    let message = pb::Record {
        schema: schema_of(&object),
        update_time_ms: record.written.0,
        author: record.author.clone(),
        object: Some(object),
    };
    message.encode_to_vec()
}

fn system_to_proto(record: &SystemRecord) -> pb::record::Object {
    use pb::record::Object as Out;
    match record {
        SystemRecord::Marker { epoch } => Out::Marker(pb::Marker { epoch: *epoch }),
        SystemRecord::GatewayId(claim) => Out::GatewayId(pb::GatewayIdRecord {
            organization: claim.org.to_string(),
            uid: claim
                .uid
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }),
        SystemRecord::SealedKey(blob) => Out::Sealed(sealed_to_proto(blob)),
        SystemRecord::JoinToken {
            hash,
            region,
            expires,
        } => Out::JoinToken(pb::JoinTokenRecord {
            hash: hash.0.to_vec(),
            region: region.clone(),
            expire_time_ms: expires.0,
        }),
        SystemRecord::ExpelledProxy { expires } => Out::Expelled(pb::ExpelledRecord {
            expire_time_ms: expires.0,
        }),
        SystemRecord::IdempotencyEntry {
            request,
            subject,
            expires,
        } => Out::Idempotency(pb::IdempotencyRecord {
            request_digest: request.0.to_vec(),
            key: subject.clone(),
            expire_time_ms: expires.0,
        }),
        SystemRecord::DefinitionsPart(part) => Out::CataloguePart(part_to_proto(part)),
        SystemRecord::VersionLogEntry { epoch, changes } => Out::Version(pb::VersionRecord {
            changes: changes.clone(),
            epoch: *epoch,
        }),
    }
}

#[cfg(test)]
mod tests;
