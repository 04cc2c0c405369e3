//! Update masks: select the fields of the sent object that replace those of the stored object. Uses reflection over the
//! schema, so that new fields need no code here.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use prost_types::FieldMask;
use tonic::Status;

use crate::{kinds::AdminResource, status};

/// Fields that can be updated; an update without a mask replaces all of them.
const UPDATABLE_PATHS: [&str; 3] = ["spec", "metadata.labels", "metadata.display_name"];
/// Maximum number of paths in a mask.
const MAX_PATHS: usize = 100;

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(toolgate_proto::DESCRIPTORS).ok());

/// Returns `stored` with the fields that `mask` names taken from `given`.
pub(crate) fn apply<R: AdminResource>(
    stored: &R::Proto,
    given: &R::Proto,
    mask: Option<&FieldMask>,
) -> Result<R::Proto, Status> {
    let descriptor = POOL
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(&message_name::<R>()));
    let descriptor = descriptor.ok_or_else(|| Status::internal("the schema is not available"))?;
    let named = mask.map_or(&[][..], |mask| &mask.paths);
    if named.len() > MAX_PATHS {
        let reason = format!("more than {MAX_PATHS} paths: name whole messages instead");
        return Err(status::invalid("update_mask", reason));
    }
    let whole = named.is_empty() || named.iter().any(|path| path == "*");
    let paths: Vec<&str> = match whole {
        true => UPDATABLE_PATHS.to_vec(),
        false => named.iter().map(String::as_str).collect(),
    };
    let mut merged = dynamic(&descriptor, stored)?;
    let given = dynamic(&descriptor, given)?;
    for path in paths {
        let fields = resolve(&descriptor, path)
            .ok_or_else(|| unknown(path, &descriptor, R::KIND.as_str()))?;
        copy(&mut merged, &given, &fields);
    }
    let bytes = merged.encode_to_vec();
    R::Proto::decode(bytes.as_slice()).map_err(|error| Status::internal(error.to_string()))
}

/// Returns the full name of the message of a kind.
fn message_name<R: AdminResource>() -> String {
    format!("toolgate.admin.v1.{}", R::KIND.message())
}

fn dynamic(
    descriptor: &MessageDescriptor,
    message: &impl Message,
) -> Result<DynamicMessage, Status> {
    let bytes = message.encode_to_vec();
    DynamicMessage::decode(descriptor.clone(), bytes.as_slice())
        .map_err(|error| Status::internal(error.to_string()))
}

/// Resolves a path to its fields; `None` if it may not be updated.
fn resolve(root: &MessageDescriptor, path: &str) -> Option<Vec<FieldDescriptor>> {
    let within = |whole: &str| {
        path.strip_prefix(whole)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    UPDATABLE_PATHS.into_iter().find(|whole| within(whole))?;
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    for name in path.split('.') {
        let message = match fields.last() {
            None => root.clone(),
            Some(field) if field.is_list() || field.is_map() => return None,
            Some(field) => field.kind().as_message()?.clone(),
        };
        fields.push(message.get_field_by_name(name)?);
    }
    Some(fields)
}

fn copy(into: &mut DynamicMessage, from: &DynamicMessage, path: &[FieldDescriptor]) {
    match path {
        [] => {}
        [field] if from.has_field(field) => {
            into.set_field(field, from.get_field(field).into_owned())
        }
        [field] => into.clear_field(field),
        [field, rest @ ..] => {
            let given = from.get_field(field);
            if let (Some(into), Some(from)) = (
                into.get_field_mut(field).as_message_mut(),
                given.as_message(),
            ) {
                copy(into, from, rest);
            }
        }
    }
}

fn unknown(path: &str, descriptor: &MessageDescriptor, field: &str) -> Status {
    let path: String = path.chars().take(200).collect();
    let spec = descriptor.get_field_by_name("spec").map(|spec| spec.kind());
    let fields = spec.as_ref().and_then(Kind::as_message);
    let fields = fields.into_iter().flat_map(MessageDescriptor::fields);
    let known: Vec<String> = fields.map(|f| format!("spec.{}", f.name())).collect();
    let reason = format!(
        "`{path}` is no path that an update of the {field} can change: use {}, metadata.labels, metadata.display_name",
        known.join(", ")
    );
    status::invalid("update_mask", reason)
}

#[cfg(test)]
mod tests;
