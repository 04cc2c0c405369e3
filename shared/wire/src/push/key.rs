//! Conversion of resource keys.

use toolgate_model::{ObjectName, ResourceKey, ResourceKind};
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
        pb::Kind::Gateway => ResourceKind::Gateway,
        pb::Kind::Server => ResourceKind::Server,
        pb::Kind::Catalogue => ResourceKind::Catalogue,
        pb::Kind::Token => ResourceKind::Token,
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
        ResourceKind::Gateway => pb::Kind::Gateway,
        ResourceKind::Server => pb::Kind::Server,
        ResourceKind::Catalogue => pb::Kind::Catalogue,
        ResourceKind::Token => pb::Kind::Token,
    };
    pb::ResourceKey {
        kind: kind.into(),
        org: key.name.org.to_string(),
        id: key.name.id.to_string(),
    }
}
