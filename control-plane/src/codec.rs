//! Conversion between store values and core objects. The encoding is defined in `shared/wire`, the objects in the core;
//! only this module knows both.

use toolgate_control_core::{
    ControlObject, ObjectKey,
    object::{JoinToken, RequestRecord, VersionMarker, VersionRecord},
};
use toolgate_model::Timestamp;
use toolgate_wire::record::{self, StoreRecord, StoredObject as Stored};

#[cfg(test)]
mod tests;

/// Encodes `object` as a store value, written at `now` by `author`.
pub(crate) fn encode(object: &ControlObject, now: Timestamp, author: &str) -> Vec<u8> {
    // An entry of the version log has its own author and time, and a marker its own time.
    let (written, author) = match object {
        ControlObject::History(entry) => (entry.time, entry.author.as_str()),
        ControlObject::Marker(marker) => (marker.last_change, author),
        ControlObject::Organization(_)
        | ControlObject::Gateway(_)
        | ControlObject::Server(_)
        | ControlObject::Credential(_)
        | ControlObject::Token(_)
        | ControlObject::Definitions(_)
        | ControlObject::Proxy(_)
        | ControlObject::GatewayId(_)
        | ControlObject::SystemKey(_)
        | ControlObject::JoinToken(_)
        | ControlObject::Expelled(_)
        | ControlObject::Request(_) => (now, author),
    };
    record::encode(&StoreRecord {
        written,
        author: author.to_owned(),
        object: to_stored(object),
    })
}

/// Decodes the object in `value` at `key`. The error contains none of the content.
pub(crate) fn decode(key: &str, value: &[u8]) -> Result<ControlObject, String> {
    let known: ObjectKey = key.parse().map_err(|error| format!("{error}"))?;
    let record = record::decode(value).map_err(|error| error.to_string())?;
    let object = from_stored(record)?;
    let misplaced = object.own_key().is_some_and(|own| own != known) || !fits(&known, &object);
    if misplaced {
        return Err("the object at this key belongs to another one".to_owned());
    }
    Ok(object)
}

/// Returns `true` if an object that does not contain its own key is allowed at this key.
fn fits(key: &ObjectKey, object: &ControlObject) -> bool {
    match object {
        ControlObject::GatewayId(_) => matches!(key, ObjectKey::GatewayId(_)),
        ControlObject::SystemKey(_) => matches!(key, ObjectKey::SystemKey(_)),
        ControlObject::Expelled(_) => matches!(key, ObjectKey::Expelled(_)),
        ControlObject::Request(_) => matches!(key, ObjectKey::Request(_)),
        ControlObject::History(_) => matches!(key, ObjectKey::History(_)),
        ControlObject::Organization(_)
        | ControlObject::Gateway(_)
        | ControlObject::Server(_)
        | ControlObject::Credential(_)
        | ControlObject::Token(_)
        | ControlObject::Definitions(_)
        | ControlObject::Proxy(_)
        | ControlObject::Marker(_)
        | ControlObject::JoinToken(_) => true,
    }
}

fn to_stored(object: &ControlObject) -> Stored {
    match object {
        ControlObject::Organization(it) => Stored::Organization(it.clone()),
        ControlObject::Gateway(it) => Stored::Gateway(it.clone()),
        ControlObject::Server(it) => Stored::Server(it.clone()),
        ControlObject::Credential(it) => Stored::Credential(it.clone()),
        ControlObject::Token(it) => Stored::Token(it.clone()),
        ControlObject::Definitions(it) => Stored::Catalogue(it.clone()),
        ControlObject::Proxy(it) => Stored::Proxy(it.clone()),
        ControlObject::Marker(marker) => Stored::Marker {
            epoch: marker.epoch,
        },
        ControlObject::GatewayId(org) => Stored::GatewayId(org.clone()),
        ControlObject::SystemKey(sealed) => Stored::SealedKey(sealed.clone()),
        ControlObject::JoinToken(it) => Stored::JoinToken {
            hash: it.hash,
            region: it.region.clone(),
            expires: it.expires,
        },
        ControlObject::Expelled(until) => Stored::ExpelledProxy { expires: *until },
        ControlObject::Request(it) => Stored::IdempotencyEntry {
            request: it.request,
            subject: it.subject.to_string(),
            expires: it.expires,
        },
        ControlObject::History(it) => Stored::VersionLogEntry {
            epoch: it.epoch,
            changes: it.changes.clone(),
        },
    }
}

fn from_stored(record: StoreRecord) -> Result<ControlObject, String> {
    Ok(match record.object {
        Stored::Organization(it) => ControlObject::Organization(it),
        Stored::Gateway(it) => ControlObject::Gateway(it),
        Stored::Server(it) => ControlObject::Server(it),
        Stored::Credential(it) => ControlObject::Credential(it),
        Stored::Token(it) => ControlObject::Token(it),
        Stored::Catalogue(it) => ControlObject::Definitions(it),
        Stored::Proxy(it) => ControlObject::Proxy(it),
        Stored::Marker { epoch } => ControlObject::Marker(VersionMarker {
            epoch,
            last_change: record.written,
        }),
        Stored::GatewayId(org) => ControlObject::GatewayId(org),
        Stored::SealedKey(sealed) => ControlObject::SystemKey(sealed),
        Stored::JoinToken {
            hash,
            region,
            expires,
        } => ControlObject::JoinToken(JoinToken {
            hash,
            region,
            expires,
        }),
        Stored::ExpelledProxy { expires } => ControlObject::Expelled(expires),
        Stored::IdempotencyEntry {
            request,
            subject,
            expires,
        } => ControlObject::Request(RequestRecord {
            request,
            subject: subject.parse().map_err(|error| format!("{error}"))?,
            expires,
        }),
        Stored::VersionLogEntry { epoch, changes } => ControlObject::History(VersionRecord {
            author: record.author,
            time: record.written,
            epoch,
            changes,
        }),
    })
}
