//! Conversion between store values and core objects. The encoding is defined in `shared/wire`, the objects in the core;
//! only this module knows both.

use std::sync::Arc;

use toolgate_control_core::{
    ControlObject, ObjectKey,
    object::{JoinToken, RequestRecord, VersionMarker, VersionRecord},
};
use toolgate_model::{Timestamp, for_each_kind};
use toolgate_wire::record::{self, StoreRecord, StoredObject, SystemRecord};

#[cfg(test)]
mod tests;

/// Encodes `object` as a store value, written at `now` by `author`.
pub(crate) fn encode(object: &ControlObject, now: Timestamp, author: &str) -> Vec<u8> {
    // An entry of the version log has its own author and time, and a marker its own time.
    let (written, author) = if let ControlObject::History(entry) = object {
        (entry.time, entry.author.as_str())
    } else if let ControlObject::Marker(marker) = object {
        (marker.last_change, author)
    } else {
        (now, author)
    };
    record::encode(&StoreRecord {
        written,
        author: author.to_owned(),
        object: to_stored(object),
    })
}

/// Object of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecodedRecord {
    /// Time of the write, by the clock of its control plane.
    pub(crate) written: Timestamp,
    /// Object that was written.
    pub(crate) object: ControlObject,
}

/// Decodes the record in `value` at `key`. The error contains none of the content.
pub(crate) fn decode(key: &str, value: &[u8]) -> Result<DecodedRecord, String> {
    let known: ObjectKey = key.parse().map_err(|error| format!("{error}"))?;
    let record = record::decode(value).map_err(|error| error.to_string())?;
    let written = record.written;
    let object = from_stored(record)?;
    if !object.fits(&known) {
        return Err("the object at this key belongs to another one".to_owned());
    }
    Ok(DecodedRecord { written, object })
}

macro_rules! define_conversion {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        fn to_stored(object: &ControlObject) -> StoredObject {
            StoredObject::System(match object {
                $(ControlObject::$D(it) => return StoredObject::$D(Arc::clone(it)),)*
                $(ControlObject::$O(it) => return StoredObject::$O(Arc::clone(it)),)*
                ControlObject::Marker(marker) => SystemRecord::Marker {
                    epoch: marker.epoch,
                },
                ControlObject::GatewayId(claim) => SystemRecord::GatewayId(claim.clone()),
                ControlObject::SystemKey(sealed) => SystemRecord::SealedKey(sealed.clone()),
                ControlObject::JoinToken(it) => SystemRecord::JoinToken {
                    hash: it.hash,
                    region: it.region.clone(),
                    expires: it.expires,
                },
                ControlObject::Expelled(until) => SystemRecord::ExpelledProxy { expires: *until },
                ControlObject::Request(it) => SystemRecord::IdempotencyEntry {
                    request: it.request,
                    subject: it.subject.to_string(),
                    expires: it.expires,
                },
                ControlObject::DefinitionsPart(part) => {
                    SystemRecord::DefinitionsPart(Arc::clone(part))
                }
                ControlObject::History(it) => SystemRecord::VersionLogEntry {
                    epoch: it.epoch,
                    changes: it.changes.clone(),
                },
            })
        }

        fn from_stored(record: StoreRecord) -> Result<ControlObject, String> {
            let system = match record.object {
                $(StoredObject::$D(it) => return Ok(ControlObject::$D(it)),)*
                $(StoredObject::$O(it) => return Ok(ControlObject::$O(it)),)*
                StoredObject::System(system) => system,
            };
            from_system_record(system, record.written, record.author)
        }
    };
}

for_each_kind!(define_conversion);

fn from_system_record(
    system: SystemRecord,
    written: Timestamp,
    author: String,
) -> Result<ControlObject, String> {
    Ok(match system {
        SystemRecord::Marker { epoch } => ControlObject::Marker(VersionMarker {
            epoch,
            last_change: written,
        }),
        SystemRecord::GatewayId(claim) => ControlObject::GatewayId(claim),
        SystemRecord::SealedKey(sealed) => ControlObject::SystemKey(sealed),
        SystemRecord::JoinToken {
            hash,
            region,
            expires,
        } => ControlObject::JoinToken(JoinToken {
            hash,
            region,
            expires,
        }),
        SystemRecord::ExpelledProxy { expires } => ControlObject::Expelled(expires),
        SystemRecord::IdempotencyEntry {
            request,
            subject,
            expires,
        } => ControlObject::Request(RequestRecord {
            request,
            subject: subject.parse().map_err(|error| format!("{error}"))?,
            expires,
        }),
        SystemRecord::DefinitionsPart(part) => ControlObject::DefinitionsPart(part),
        SystemRecord::VersionLogEntry { epoch, changes } => ControlObject::History(VersionRecord {
            author,
            time: written,
            epoch,
            changes,
        }),
    })
}
