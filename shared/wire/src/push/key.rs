//! Conversion of resource keys.

use toolgate_model::{ObjectName, ResourceKey, SnapshotResourceKind};
use toolgate_proto::push::v1 as pb;

use crate::{
    field,
    invalid::{FieldViolation, invalid},
};

invalid! {
    /// Error of an invalid resource key.
    InvalidKey: "resource key";
}

/// Validates and converts a key.
pub fn key(given: Option<&pb::ResourceKey>) -> Result<ResourceKey, InvalidKey> {
    let missing = || FieldViolation::new("key", "is missing");
    let given = given.ok_or_else(missing)?;
    let kind = match field::enum_value("key.kind", given.kind)? {
        pb::Kind::Gateway => SnapshotResourceKind::Gateway,
        pb::Kind::Server => SnapshotResourceKind::Server,
        pb::Kind::Catalogue => SnapshotResourceKind::Catalogue,
        pb::Kind::Token => SnapshotResourceKind::Token,
        pb::Kind::Unspecified => return Err(FieldViolation::new("key.kind", "is missing").into()),
    };
    let org = field::slug("key.org", &given.org)?;
    let id = field::slug("key.id", &given.id)?;
    let name = ObjectName::new(org, id);
    Ok(ResourceKey { kind, name })
}

/// Converts to a message.
pub fn key_to_proto(key: &ResourceKey) -> pb::ResourceKey {
    let kind = match key.kind {
        SnapshotResourceKind::Gateway => pb::Kind::Gateway,
        SnapshotResourceKind::Server => pb::Kind::Server,
        SnapshotResourceKind::Catalogue => pb::Kind::Catalogue,
        SnapshotResourceKind::Token => pb::Kind::Token,
    };
    pb::ResourceKey {
        kind: kind.into(),
        org: key.name.org.to_string(),
        id: key.name.id.to_string(),
    }
}
