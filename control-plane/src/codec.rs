//! Conversion between store values and core objects. The encoding is defined in `shared/wire`, the objects in the core;
//! only this module knows both.

use toolgate_control_core::{
    Key, Object,
    object::{JoinToken, Marker, RequestRecord, VersionRecord},
};
use toolgate_model::Timestamp;
use toolgate_wire::record::{self, Object as Stored, Record};

#[cfg(test)]
mod tests;

/// Encodes `object` as a store value, written at `now` by `author`.
pub(crate) fn encode(object: &Object, now: Timestamp, author: &str) -> Vec<u8> {
    // An entry of the version log has its own author and time, and a marker its own time.
    let (written, author) = match object {
        Object::History(entry) => (entry.time, entry.author.as_str()),
        Object::Marker(marker) => (marker.written, author),
        Object::Organization(_)
        | Object::Gateway(_)
        | Object::Server(_)
        | Object::Credential(_)
        | Object::Token(_)
        | Object::Catalogue(_)
        | Object::Proxy(_)
        | Object::GatewayId(_)
        | Object::SystemKey(_)
        | Object::JoinToken(_)
        | Object::Expelled(_)
        | Object::Request(_) => (now, author),
    };
    record::encode(&Record {
        written,
        author: author.to_owned(),
        object: to_stored(object),
    })
}

/// Decodes the object in `value` at `key`. The error contains none of the content.
pub(crate) fn decode(key: &str, value: &[u8]) -> Result<Object, String> {
    let known: Key = key.parse().map_err(|error| format!("{error}"))?;
    let record = record::decode(value).map_err(|error| error.to_string())?;
    let object = from_stored(record)?;
    let misplaced = object.own_key().is_some_and(|own| own != known) || !fits(&known, &object);
    if misplaced {
        return Err("the object at this key belongs to another one".to_owned());
    }
    Ok(object)
}

/// Returns `true` if an object that does not contain its own key is allowed at this key.
fn fits(key: &Key, object: &Object) -> bool {
    match object {
        Object::GatewayId(_) => matches!(key, Key::GatewayId(_)),
        Object::SystemKey(_) => matches!(key, Key::SystemKey(_)),
        Object::Expelled(_) => matches!(key, Key::Expelled(_)),
        Object::Request(_) => matches!(key, Key::Request(_)),
        Object::History(_) => matches!(key, Key::History(_)),
        Object::Organization(_)
        | Object::Gateway(_)
        | Object::Server(_)
        | Object::Credential(_)
        | Object::Token(_)
        | Object::Catalogue(_)
        | Object::Proxy(_)
        | Object::Marker(_)
        | Object::JoinToken(_) => true,
    }
}

fn to_stored(object: &Object) -> Stored {
    match object {
        Object::Organization(it) => Stored::Organization(it.clone()),
        Object::Gateway(it) => Stored::Gateway(it.clone()),
        Object::Server(it) => Stored::Server(it.clone()),
        Object::Credential(it) => Stored::Credential(it.clone()),
        Object::Token(it) => Stored::Token(it.clone()),
        Object::Catalogue(it) => Stored::Catalogue(it.clone()),
        Object::Proxy(it) => Stored::Proxy(it.clone()),
        Object::Marker(marker) => Stored::Marker {
            epoch: marker.epoch,
        },
        Object::GatewayId(org) => Stored::GatewayId(org.clone()),
        Object::SystemKey(sealed) => Stored::Sealed(sealed.clone()),
        Object::JoinToken(it) => Stored::JoinToken {
            hash: it.hash,
            region: it.region.clone(),
            expires: it.expires,
        },
        Object::Expelled(until) => Stored::Expelled { expires: *until },
        Object::Request(it) => Stored::Request {
            request: it.request,
            subject: it.subject.to_string(),
            expires: it.expires,
        },
        Object::History(it) => Stored::Version {
            epoch: it.epoch,
            changes: it.changes.clone(),
        },
    }
}

fn from_stored(record: Record) -> Result<Object, String> {
    Ok(match record.object {
        Stored::Organization(it) => Object::Organization(it),
        Stored::Gateway(it) => Object::Gateway(it),
        Stored::Server(it) => Object::Server(it),
        Stored::Credential(it) => Object::Credential(it),
        Stored::Token(it) => Object::Token(it),
        Stored::Catalogue(it) => Object::Catalogue(it),
        Stored::Proxy(it) => Object::Proxy(it),
        Stored::Marker { epoch } => Object::Marker(Marker {
            epoch,
            written: record.written,
        }),
        Stored::GatewayId(org) => Object::GatewayId(org),
        Stored::Sealed(sealed) => Object::SystemKey(sealed),
        Stored::JoinToken {
            hash,
            region,
            expires,
        } => Object::JoinToken(JoinToken {
            hash,
            region,
            expires,
        }),
        Stored::Expelled { expires } => Object::Expelled(expires),
        Stored::Request {
            request,
            subject,
            expires,
        } => Object::Request(RequestRecord {
            request,
            subject: subject.parse().map_err(|error| format!("{error}"))?,
            expires,
        }),
        Stored::Version { epoch, changes } => Object::History(VersionRecord {
            author: record.author,
            time: record.written,
            epoch,
            changes,
        }),
    })
}
