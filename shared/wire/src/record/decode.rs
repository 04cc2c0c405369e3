//! Decoding of store records.

use std::sync::Arc;

use prost::Message as _;
use toolgate_model::{Catalogue, Gateway, Organization, Proxy, SealedBlob, Server, Timestamp};
use toolgate_proto::store::v1 as pb;

use super::{Object, Record, SCHEMA};
use crate::{Invalid, Wire as _, admin, field, invalid::Violation, limits};

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
    Invalid(Violation),
}

impl From<Violation> for InvalidRecord {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation)
    }
}

/// Decodes a record.
pub fn decode(bytes: &[u8]) -> Result<Record, InvalidRecord> {
    // The schema number is read first, because a newer build may have changed the meaning of the rest.
    let head = Head::decode(bytes).map_err(|e| InvalidRecord::Malformed(e.to_string()))?;
    match head.schema {
        0 => return Err(InvalidRecord::Malformed("it has no schema number".into())),
        found if found > SCHEMA => return Err(InvalidRecord::Newer { found }),
        _ => {}
    }
    let message = pb::Record::decode(bytes).map_err(|e| InvalidRecord::Malformed(e.to_string()))?;
    let object = message
        .object
        .ok_or_else(|| Violation::new("object", "is missing or unknown to this build"))?;
    Ok(Record {
        written: Timestamp(message.update_time_ms),
        author: field::bounded("author", &message.author, limits::SHORT)?,
        object: read(&object)?,
    })
}

/// Part of a record that all schemas have.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(uint32, tag = "1")]
    schema: u32,
}

fn read(object: &pb::record::Object) -> Result<Object, Violation> {
    use pb::record::Object as In;
    Ok(match object {
        In::Organization(it) => {
            Object::Organization(Arc::new(Organization::from_proto(it).map_err(violation)?))
        }
        In::Gateway(it) => Object::Gateway(Arc::new(Gateway::from_proto(it).map_err(violation)?)),
        In::Server(it) => Object::Server(Arc::new(Server::from_proto(it).map_err(violation)?)),
        In::Credential(it) => credential(it)?,
        In::Token(it) => {
            let token = it.token.as_ref().ok_or_else(|| missing("token"))?;
            let hash = field::token_hash("hash", &it.hash)?;
            Object::Token(Arc::new(admin::token(token, hash).map_err(violation)?))
        }
        In::Catalogue(it) => {
            Object::Catalogue(Arc::new(Catalogue::from_proto(it).map_err(violation)?))
        }
        In::Proxy(it) => Object::Proxy(Arc::new(Proxy::from_proto(it).map_err(violation)?)),
        In::Marker(it) => Object::Marker { epoch: it.epoch },
        In::GatewayId(it) => Object::GatewayId(field::slug("organization", &it.organization)?),
        In::Sealed(it) => Object::Sealed(sealed(it)?),
        In::JoinToken(it) => Object::JoinToken {
            hash: field::token_hash("hash", &it.hash)?,
            region: field::line("region", &it.region, limits::SHORT)?,
            expires: Timestamp(it.expire_time_ms),
        },
        In::Expelled(it) => Object::Expelled {
            expires: Timestamp(it.expire_time_ms),
        },
        In::Idempotency(it) => Object::Request {
            request: field::digest("request_digest", &it.request_digest)?,
            subject: field::bounded("key", &it.key, limits::SHORT)?,
            expires: Timestamp(it.expire_time_ms),
        },
        In::Version(it) => {
            field::cap("changes", it.changes.len(), limits::CHANGES)?;
            for (at, change) in it.changes.iter().enumerate() {
                field::bounded(&format!("changes[{at}]"), change, limits::REASON)?;
            }
            let changes = it.changes.clone();
            let epoch = it.epoch;
            Object::Version { epoch, changes }
        }
    })
}

fn credential(given: &pb::StoredCredential) -> Result<Object, Violation> {
    let message = given.credential.as_ref();
    let message = message.ok_or_else(|| missing("credential"))?;
    let value = given.value.as_ref().ok_or_else(|| missing("value"))?;
    let credential = admin::credential(message, sealed(value)?).map_err(violation)?;
    Ok(Object::Credential(Arc::new(credential)))
}

fn sealed(given: &pb::SealedBlob) -> Result<SealedBlob, Violation> {
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

fn missing(field: &str) -> Violation {
    Violation::new(field, "is missing")
}

fn violation(invalid: impl Invalid) -> Violation {
    Violation::new(invalid.field(), invalid.reason())
}
