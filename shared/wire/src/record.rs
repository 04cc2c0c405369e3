//! Conversion of the values of the store. Each value is one [`StoreRecord`]: author, time and object. Decoding any
//! bytes yields a record or an [`InvalidRecord`] that is safe to display: it never panics and the error contains no
//! secret.

mod decode;

use std::sync::Arc;

use prost::Message as _;
use toolgate_model::{
    Credential, CredentialKind, Digest, Gateway, Organization, ProxyStatus, SealedBlob, Server,
    ServerDefinitions, Slug, Timestamp, Token, TokenHash,
};
use toolgate_proto::store::v1 as pb;

use crate::{ProtoConversion as _, admin};

pub use decode::{InvalidRecord, decode};

/// Schema number written by this build, and the highest that it reads.
pub const SCHEMA: u32 = 1;

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

/// Object of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredObject {
    /// Tenant.
    Organization(Arc<Organization>),
    /// MCP endpoint offered to clients.
    Gateway(Arc<Gateway>),
    /// MCP server.
    Server(Arc<Server>),
    /// Credential presented to a server.
    Credential(Arc<Credential>),
    /// Bearer token.
    Token(Arc<Token>),
    /// Definitions that a server was seen to offer.
    Catalogue(Arc<ServerDefinitions>),
    /// Status of a data-plane process.
    Proxy(Arc<ProxyStatus>),
    /// Epoch of the store. `written` of its record is the time of the last change.
    Marker {
        /// Epoch, incremented by a restore.
        epoch: u64,
    },
    /// Organization that owns a gateway id.
    GatewayId(Slug),
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
    /// Entry of the version log. Author and time are those of the record.
    VersionLogEntry {
        /// Epoch in which the change was made. 0 if it was not recorded.
        epoch: u64,
        /// Changes, one line each.
        changes: Vec<String>,
    },
}

/// Encodes a record. Equal records yield equal bytes.
pub fn encode(record: &StoreRecord) -> Vec<u8> {
    let message = pb::Record {
        schema: SCHEMA,
        update_time_ms: record.written.0,
        author: record.author.clone(),
        object: Some(object_to_proto(&record.object)),
    };
    message.encode_to_vec()
}

fn object_to_proto(object: &StoredObject) -> pb::record::Object {
    use pb::record::Object as Out;
    match object {
        StoredObject::Organization(it) => Out::Organization(it.to_proto()),
        StoredObject::Gateway(it) => Out::Gateway(it.to_proto()),
        StoredObject::Server(it) => Out::Server(it.to_proto()),
        StoredObject::Credential(it) => Out::Credential(credential(it)),
        StoredObject::Token(it) => Out::Token(pb::StoredToken {
            token: Some(admin::token_to_proto(it)),
            hash: it.hash.0.to_vec(),
        }),
        StoredObject::Catalogue(it) => Out::Catalogue(catalogue(it)),
        StoredObject::Proxy(it) => Out::Proxy(it.to_proto()),
        StoredObject::Marker { epoch } => Out::Marker(pb::Marker { epoch: *epoch }),
        StoredObject::GatewayId(org) => Out::GatewayId(pb::GatewayIdRecord {
            organization: org.to_string(),
        }),
        StoredObject::SealedKey(blob) => Out::Sealed(sealed(blob)),
        StoredObject::JoinToken {
            hash,
            region,
            expires,
        } => Out::JoinToken(pb::JoinTokenRecord {
            hash: hash.0.to_vec(),
            region: region.clone(),
            expire_time_ms: expires.0,
        }),
        StoredObject::ExpelledProxy { expires } => Out::Expelled(pb::ExpelledRecord {
            expire_time_ms: expires.0,
        }),
        StoredObject::IdempotencyEntry {
            request,
            subject,
            expires,
        } => Out::Idempotency(pb::IdempotencyRecord {
            request_digest: request.0.to_vec(),
            key: subject.clone(),
            expire_time_ms: expires.0,
        }),
        StoredObject::VersionLogEntry { epoch, changes } => Out::Version(pb::VersionRecord {
            changes: changes.clone(),
            epoch: *epoch,
        }),
    }
}

fn credential(given: &Credential) -> pb::StoredCredential {
    let CredentialKind::StaticHeader { header: _, value } = &given.kind;
    pb::StoredCredential {
        credential: Some(admin::credential_to_proto(given)),
        value: Some(sealed(value)),
    }
}

/// Converts without the descriptions, which are part of the definitions already.
fn catalogue(given: &ServerDefinitions) -> toolgate_proto::admin::v1::Catalogue {
    let mut message = given.to_proto();
    let lists = [
        &mut message.tools,
        &mut message.prompts,
        &mut message.resources,
        &mut message.templates,
    ];
    for definition in lists.into_iter().flatten() {
        definition.description.clear();
    }
    message
}

fn sealed(blob: &SealedBlob) -> pb::SealedBlob {
    pb::SealedBlob {
        key_id: blob.key_id.clone(),
        wrapped_key: blob.wrapped_key.clone(),
        ciphertext: blob.ciphertext.clone(),
    }
}

#[cfg(test)]
mod tests;
