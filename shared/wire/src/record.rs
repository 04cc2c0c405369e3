//! Values of the store. One value is one [`Record`]: who wrote it when, and the object. Whatever the bytes, decoding
//! answers a record or an [`InvalidRecord`] that can be shown: it never panics and repeats no secret.

mod decode;

use std::sync::Arc;

use prost::Message as _;
use toolgate_model::{
    Catalogue, Credential, CredentialKind, Digest, Gateway, Organization, Proxy, SealedBlob,
    Server, Slug, Timestamp, Token, TokenHash,
};
use toolgate_proto::store::v1 as pb;

use crate::{Wire as _, admin};

pub use decode::{InvalidRecord, decode};

/// The schema that this build writes, and the newest it reads.
pub const SCHEMA: u32 = 1;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was written.
    pub written: Timestamp,
    /// Who wrote it, e.g. `organizations/acme/tokens/ci`.
    pub author: String,
    /// What it says.
    pub object: Object,
}

/// What can lie in the store.
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
    /// The epoch; its `written` is the time of the last change.
    Marker {
        /// Bumped by a restore.
        epoch: u64,
    },
    /// The organization that owns a gateway id.
    GatewayId(Slug),
    /// A sealed key of the deployment.
    Sealed(SealedBlob),
    /// Leave for one proxy to join.
    JoinToken {
        /// Keyed hash of its secret.
        hash: TokenHash,
        /// Certificates issued for it name this region.
        region: String,
        /// When it stops working.
        expires: Timestamp,
    },
    /// A proxy that was expelled.
    Expelled {
        /// When its last certificate has ended.
        expires: Timestamp,
    },
    /// What a request id has done.
    Request {
        /// Of the whole request.
        request: Digest,
        /// Store key of the object it wrote or deleted.
        subject: String,
        /// When the id may be forgotten.
        expires: Timestamp,
    },
    /// An entry of the version log; author and time are the record's.
    Version {
        /// In which it was made; 0 where that was not remembered.
        epoch: u64,
        /// What, one line a change.
        changes: Vec<String>,
    },
}

/// The bytes of a record. The same record gives the same bytes.
pub fn encode(record: &Record) -> Vec<u8> {
    let message = pb::Record {
        schema: SCHEMA,
        update_time_ms: record.written.0,
        author: record.author.clone(),
        object: Some(object_to_proto(&record.object)),
    };
    message.encode_to_vec()
}

fn object_to_proto(object: &Object) -> pb::record::Object {
    use pb::record::Object as Out;
    match object {
        Object::Organization(it) => Out::Organization(it.to_proto()),
        Object::Gateway(it) => Out::Gateway(it.to_proto()),
        Object::Server(it) => Out::Server(it.to_proto()),
        Object::Credential(it) => Out::Credential(credential(it)),
        Object::Token(it) => Out::Token(pb::StoredToken {
            token: Some(admin::token_to_proto(it)),
            hash: it.hash.0.to_vec(),
        }),
        Object::Catalogue(it) => Out::Catalogue(catalogue(it)),
        Object::Proxy(it) => Out::Proxy(it.to_proto()),
        Object::Marker { epoch } => Out::Marker(pb::Marker { epoch: *epoch }),
        Object::GatewayId(org) => Out::GatewayId(pb::GatewayIdRecord {
            organization: org.to_string(),
        }),
        Object::Sealed(blob) => Out::Sealed(sealed(blob)),
        Object::JoinToken {
            hash,
            region,
            expires,
        } => Out::JoinToken(pb::JoinTokenRecord {
            hash: hash.0.to_vec(),
            region: region.clone(),
            expire_time_ms: expires.0,
        }),
        Object::Expelled { expires } => Out::Expelled(pb::ExpelledRecord {
            expire_time_ms: expires.0,
        }),
        Object::Request {
            request,
            subject,
            expires,
        } => Out::Idempotency(pb::IdempotencyRecord {
            request_digest: request.0.to_vec(),
            key: subject.clone(),
            expire_time_ms: expires.0,
        }),
        Object::Version { epoch, changes } => Out::Version(pb::VersionRecord {
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

/// Without the descriptions: they stand in the definitions already.
fn catalogue(given: &Catalogue) -> toolgate_proto::admin::v1::Catalogue {
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
