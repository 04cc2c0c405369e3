//! Conversion of the metadata common to all kinds.

use toolgate_model::{ObjectMeta, Timestamp, Uid};
use toolgate_proto::admin::v1 as pb;

use crate::{field, invalid::FieldViolation, limits};

/// Converts labels, display name and times of `metadata`, and the `description` of the spec.
pub(crate) fn meta(
    given: Option<&pb::Metadata>,
    description: &str,
) -> Result<ObjectMeta, FieldViolation> {
    let description = field::text("spec.description", description, limits::DESCRIPTION)?;
    let Some(given) = given else {
        let meta = ObjectMeta::default();
        return Ok(ObjectMeta {
            description,
            ..meta
        });
    };
    field::max_count("metadata.labels", given.labels.len(), limits::LABELS)?;
    for (key, value) in &given.labels {
        label(key, value)?;
    }
    let created = field::timestamp("metadata.create_time", given.create_time.as_ref())?;
    let updated = field::timestamp("metadata.update_time", given.update_time.as_ref())?;
    let uid = match given.uid.as_str() {
        "" => Uid::default(),
        text => text
            .parse()
            .map_err(|e| FieldViolation::new("metadata.uid", e))?,
    };
    Ok(ObjectMeta {
        uid,
        display_name: field::line(
            "metadata.display_name",
            &given.display_name,
            limits::DISPLAY_NAME,
        )?,
        description,
        labels: given.labels.clone(),
        created: created.unwrap_or(Timestamp(0)),
        updated: updated.unwrap_or(Timestamp(0)),
    })
}

/// Converts to `metadata` of the object with the full name `name`.
pub(crate) fn meta_to_proto(name: String, meta: &ObjectMeta) -> Option<pb::Metadata> {
    Some(pb::Metadata {
        name,
        resource_version: String::new(),
        create_time: field::to_known_timestamp(meta.created),
        update_time: field::to_known_timestamp(meta.updated),
        labels: meta.labels.clone(),
        display_name: meta.display_name.clone(),
        uid: match meta.uid.is_nil() {
            true => String::new(),
            false => meta.uid.to_string(),
        },
    })
}

/// Returns the full name in `metadata`.
pub(crate) fn name(given: Option<&pb::Metadata>) -> Result<&str, FieldViolation> {
    match given {
        Some(metadata) if !metadata.name.is_empty() => Ok(&metadata.name),
        _ => Err(FieldViolation::new("metadata.name", "is required: set it")),
    }
}

fn label(key: &str, value: &str) -> Result<(), FieldViolation> {
    let path = format!("metadata.labels[{key:?}]");
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-_./".contains(&c);
    if key.is_empty() || key.len() > limits::LABEL_KEY || !key.bytes().all(allowed) {
        let path = path.chars().take(limits::SHORT).collect::<String>();
        let max = limits::LABEL_KEY;
        let reason = format!("is not a label key: use 1 to {max} of A-Z, a-z, 0-9, -, _, . and /");
        return Err(FieldViolation::new(path, reason));
    }
    field::line(&path, value, limits::LABEL_VALUE).map(drop)
}
