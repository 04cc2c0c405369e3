//! Decoding of store records.

use std::sync::Arc;

use prost::Message as _;
use toolgate_model::{GatewayClaim, KindObject as _, Timestamp, Uid, for_each_kind};
use toolgate_proto::{admin::v1::credential_spec::Kind, store::v1 as pb};

use super::{
    SCHEMA, StoreRecord, StoredObject, SystemRecord, admits_providers,
    stored_form::{StoredForm as _, manifest, sealed},
};
use crate::{admin::part, field, invalid::FieldViolation, limits};

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
        object: read(&migrated(head.schema, object)?)?,
    })
}

/// Part of a record that all schemas have.
#[derive(Clone, PartialEq, prost::Message)]
struct RecordHeader {
    #[prost(uint32, tag = "1")]
    schema: u32,
}

/// Checks that the object has the form of its schema, and converts it to the newest form.
fn migrated(schema: u32, object: pb::record::Object) -> Result<pb::record::Object, FieldViolation> {
    if let pb::record::Object::Credential(stored) = &object {
        let spec = stored.credential.as_ref().and_then(|it| it.spec.as_ref());
        if schema < 3 && spec.is_some_and(|spec| !spec.hosts.is_empty()) {
            let reason = format!("is not part of a record with schema {schema}");
            return Err(FieldViolation::new("spec.hosts", reason));
        }
        let kind = spec.and_then(|spec| spec.kind.as_ref());
        if let (..5, Some(Kind::RequestFields(_))) = (schema, kind) {
            let reason = format!("is not part of a record with schema {schema}");
            return Err(FieldViolation::new("spec.request_fields", reason));
        }
    }
    let has_providers = matches!(object, pb::record::Object::IdentityProvider(_))
        || matches!(&object, pb::record::Object::Gateway(gateway) if admits_providers(gateway));
    let is_in_parts = matches!(
        object,
        pb::record::Object::CatalogueManifest(_) | pb::record::Object::CataloguePart(_)
    );
    if (schema < 5 && is_in_parts) || (schema < 6 && has_providers) {
        let reason = format!("is not part of a record with schema {schema}");
        return Err(FieldViolation::new("object", reason));
    }
    let pb::record::Object::Server(mut server) = object else {
        return Ok(object);
    };
    let Some(spec) = &mut server.spec else {
        return Ok(pb::record::Object::Server(server));
    };
    if schema == 1 {
        if !spec.endpoints.is_empty() {
            let reason = "is not part of a record with schema 1";
            return Err(FieldViolation::new("spec.endpoints", reason));
        }
        let url = std::mem::take(&mut spec.url);
        let region = String::new();
        spec.endpoints = vec![toolgate_proto::admin::v1::Endpoint { url, region }];
    }
    Ok(pb::record::Object::Server(server))
}

macro_rules! define_read {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        fn read(object: &pb::record::Object) -> Result<StoredObject, FieldViolation> {
            use pb::record::Object as In;
            Ok(StoredObject::System(match object {
                $(In::$DMessage(it) => {
                    let mut object = <$DObject>::from_stored(it)?;
                    if object.meta.uid.is_nil() {
                        object.meta.uid = Uid::derived::<$DObject>(object.id(), object.meta.created);
                    }
                    return Ok(StoredObject::$D(Arc::new(object)));
                })*
                $(In::$OMessage(it) => {
                    let object = <$OObject>::from_stored(it)?;
                    return Ok(StoredObject::$O(Arc::new(object)));
                })*
                In::CatalogueManifest(it) => {
                    return Ok(StoredObject::Definitions(Arc::new(manifest(it)?)));
                }
                In::CataloguePart(it) => SystemRecord::DefinitionsPart(Arc::new(part(it)?)),
                In::Marker(it) => SystemRecord::Marker { epoch: it.epoch },
                In::GatewayId(it) => SystemRecord::GatewayId(claim(it)?),
                In::Sealed(it) => SystemRecord::SealedKey(sealed(it)?),
                In::JoinToken(it) => SystemRecord::JoinToken {
                    hash: field::token_hash("hash", &it.hash)?,
                    region: field::line("region", &it.region, limits::SHORT)?,
                    expires: Timestamp(it.expire_time_ms),
                },
                In::Expelled(it) => SystemRecord::ExpelledProxy {
                    expires: Timestamp(it.expire_time_ms),
                },
                In::Idempotency(it) => SystemRecord::IdempotencyEntry {
                    request: field::digest("request_digest", &it.request_digest)?,
                    subject: field::bounded("key", &it.key, limits::SHORT)?,
                    expires: Timestamp(it.expire_time_ms),
                },
                In::Version(it) => version_log_entry(it)?,
            }))
        }
    };
}

for_each_kind!(define_read);

fn version_log_entry(given: &pb::VersionRecord) -> Result<SystemRecord, FieldViolation> {
    field::max_count("changes", given.changes.len(), limits::CHANGES)?;
    for (at, change) in given.changes.iter().enumerate() {
        field::bounded(&format!("changes[{at}]"), change, limits::REASON)?;
    }
    let changes = given.changes.clone();
    let epoch = given.epoch;
    Ok(SystemRecord::VersionLogEntry { epoch, changes })
}

fn claim(given: &pb::GatewayIdRecord) -> Result<GatewayClaim, FieldViolation> {
    Ok(GatewayClaim {
        org: field::slug("organization", &given.organization)?,
        // Empty if it was written by an earlier build.
        uid: field::uid("uid", &given.uid)?,
    })
}
