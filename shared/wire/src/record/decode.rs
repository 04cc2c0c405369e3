//! Decoding of store records.

use std::sync::Arc;

use prost::Message as _;
use toolgate_model::{
    Gateway, Organization, ProxyStatus, SealedBlob, Server, ServerDefinitions, Timestamp,
};
use toolgate_proto::store::v1 as pb;

use super::{SCHEMA, StoreRecord, StoredObject};
use crate::{InvalidMessage, ProtoConversion as _, admin, field, invalid::FieldViolation, limits};

/// Error of bytes that are not a valid record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// The record was written by a newer build.
    #[error("written with schema {found}, and this build reads up to {SCHEMA}: upgrade Toolgate")]
    Newer {
        /// Schema number of the record.
        found: u32,
    },
    /// The bytes are not a record, or are truncated.
    #[error("not a record: {0}")]
    Malformed(String),
    /// The object of the record is invalid.
    #[error("invalid record: {0}")]
    Invalid(FieldViolation),
}

impl From<FieldViolation> for InvalidRecord {
    fn from(violation: FieldViolation) -> Self {
        Self::Invalid(violation)
    }
}

/// Decodes a record.
pub fn decode(bytes: &[u8]) -> Result<StoreRecord, InvalidRecord> {
    // The schema number is read first, because a newer build may have changed the meaning of the rest.
    let head = RecordHeader::decode(bytes).map_err(|e| InvalidRecord::Malformed(e.to_string()))?;
    match head.schema {
        0 => return Err(InvalidRecord::Malformed("it has no schema number".into())),
        found if found > SCHEMA => return Err(InvalidRecord::Newer { found }),
        _ => {}
    }
    let message = pb::Record::decode(bytes).map_err(|e| InvalidRecord::Malformed(e.to_string()))?;
    let object = message
        .object
        .ok_or_else(|| FieldViolation::new("object", "is missing or unknown to this build"))?;
    Ok(StoreRecord {
        written: Timestamp(message.update_time_ms),
        author: field::bounded("author", &message.author, limits::SHORT)?,
        object: read(&object)?,
    })
}

/// Part of a record that all schemas have.
#[derive(Clone, PartialEq, prost::Message)]
struct RecordHeader {
    #[prost(uint32, tag = "1")]
    schema: u32,
}

fn read(object: &pb::record::Object) -> Result<StoredObject, FieldViolation> {
    use pb::record::Object as In;
    Ok(match object {
        In::Organization(it) => {
            StoredObject::Organization(Arc::new(Organization::from_proto(it).map_err(violation)?))
        }
        In::Gateway(it) => {
            StoredObject::Gateway(Arc::new(Gateway::from_proto(it).map_err(violation)?))
        }
        In::Server(it) => {
            StoredObject::Server(Arc::new(Server::from_proto(it).map_err(violation)?))
        }
        In::Credential(it) => credential(it)?,
        In::Token(it) => {
            let token = it.token.as_ref().ok_or_else(|| missing("token"))?;
            let hash = field::token_hash("hash", &it.hash)?;
            StoredObject::Token(Arc::new(admin::token(token, hash).map_err(violation)?))
        }
        In::Catalogue(it) => StoredObject::Catalogue(Arc::new(
            ServerDefinitions::from_proto(it).map_err(violation)?,
        )),
        In::Proxy(it) => {
            StoredObject::Proxy(Arc::new(ProxyStatus::from_proto(it).map_err(violation)?))
        }
        In::Marker(it) => StoredObject::Marker { epoch: it.epoch },
        In::GatewayId(it) => {
            StoredObject::GatewayId(field::slug("organization", &it.organization)?)
        }
        In::Sealed(it) => StoredObject::SealedKey(sealed(it)?),
        In::JoinToken(it) => StoredObject::JoinToken {
            hash: field::token_hash("hash", &it.hash)?,
            region: field::line("region", &it.region, limits::SHORT)?,
            expires: Timestamp(it.expire_time_ms),
        },
        In::Expelled(it) => StoredObject::ExpelledProxy {
            expires: Timestamp(it.expire_time_ms),
        },
        In::Idempotency(it) => StoredObject::IdempotencyEntry {
            request: field::digest("request_digest", &it.request_digest)?,
            subject: field::bounded("key", &it.key, limits::SHORT)?,
            expires: Timestamp(it.expire_time_ms),
        },
        In::Version(it) => {
            field::max_count("changes", it.changes.len(), limits::CHANGES)?;
            for (at, change) in it.changes.iter().enumerate() {
                field::bounded(&format!("changes[{at}]"), change, limits::REASON)?;
            }
            let changes = it.changes.clone();
            let epoch = it.epoch;
            StoredObject::VersionLogEntry { epoch, changes }
        }
    })
}

fn credential(given: &pb::StoredCredential) -> Result<StoredObject, FieldViolation> {
    let message = given.credential.as_ref();
    let message = message.ok_or_else(|| missing("credential"))?;
    let value = given.value.as_ref().ok_or_else(|| missing("value"))?;
    let credential = admin::credential(message, sealed(value)?).map_err(violation)?;
    Ok(StoredObject::Credential(Arc::new(credential)))
}

fn sealed(given: &pb::SealedBlob) -> Result<SealedBlob, FieldViolation> {
    let key_id = field::required("key_id", &given.key_id, limits::SHORT)?;
    if given.wrapped_key.is_empty() || given.ciphertext.is_empty() {
        return Err(missing("ciphertext"));
    }
    Ok(SealedBlob {
        key_id,
        wrapped_key: given.wrapped_key.clone(),
        ciphertext: given.ciphertext.clone(),
    })
}

fn missing(field: &str) -> FieldViolation {
    FieldViolation::new(field, "is missing")
}

fn violation(invalid: impl InvalidMessage) -> FieldViolation {
    FieldViolation::new(invalid.field(), invalid.reason())
}
