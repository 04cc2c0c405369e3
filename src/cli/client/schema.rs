//! Runtime schema of the admin API: converts messages of any type to and from proto JSON, using the descriptor set.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, FileDescriptor, Kind as ProtoKind,
    MessageDescriptor, MethodDescriptor, SerializeOptions,
};
use serde::de::DeserializeSeed as _;
use serde_json::Value;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::cli::{client::kind::ApiResourceKind, output::error::CliError};

/// Package of the admin API.
pub const PACKAGE: &str = "toolgate.admin.v1";

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(toolgate_proto::DESCRIPTORS).ok());

/// Returns the descriptor of the message `name` of the admin API.
pub fn message(name: &str) -> Result<MessageDescriptor, CliError> {
    let found = POOL
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(&format!("{PACKAGE}.{name}")));
    found.ok_or_else(|| CliError::error(format!("this program's contract has no message `{name}`")))
}

/// Returns the descriptor of the method `name` of the service `service` of the admin API.
pub fn method(service: &str, name: &str) -> Result<MethodDescriptor, CliError> {
    let service_name = format!("{PACKAGE}.{service}");
    let service = POOL
        .as_ref()
        .and_then(|pool| pool.get_service_by_name(&service_name));
    let found = service.and_then(|service| service.methods().find(|m| m.name() == name));
    found.ok_or_else(|| {
        CliError::error(format!(
            "this program's contract has no `{service_name}/{name}`"
        ))
    })
}

/// Returns the comment of a message in the contract.
pub fn comment(message: &MessageDescriptor) -> String {
    comment_at(&message.parent_file(), message.path())
}

/// Returns the comment of a field in the contract.
pub fn comment_of_field(field: &FieldDescriptor) -> String {
    comment_at(&field.parent_message().parent_file(), field.path())
}

/// Returns the values of the field's enum with their comments, without the value that means "unspecified" and has no
/// comment. Empty if the field is of another type.
pub fn values_of(field: &FieldDescriptor) -> Vec<(String, String)> {
    let ProtoKind::Enum(kind) = field.kind() else {
        return Vec::new();
    };
    let file = kind.parent_file();
    let values = kind.values().map(|value| {
        let comment = comment_at(&file, value.path());
        (value, comment)
    });
    values
        .filter(|(value, comment)| value.number() != 0 || !comment.is_empty())
        .map(|(value, comment)| (value.name().to_owned(), comment))
        .collect()
}

fn comment_at(file: &FileDescriptor, path: &[i32]) -> String {
    let file = file.file_descriptor_proto();
    let locations = file.source_code_info.iter().flat_map(|it| &it.location);
    let comment = locations
        .filter(|location| location.path == path)
        .find_map(|location| location.leading_comments.as_deref());
    let lines = comment.unwrap_or_default().lines().map(str::trim);
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Returns the values of the enum at a field path in a message, or `None` if the path leads to anything else.
pub fn enum_values<'a>(
    message: &MessageDescriptor,
    mut fields: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let name = fields.next()?;
    let field = message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))?;
    let kind = field.kind();
    if let ProtoKind::Message(inner) = &kind {
        return enum_values(inner, fields);
    }
    let ProtoKind::Enum(kind) = kind else {
        return None;
    };
    // Value 0 means "unspecified".
    let names = kind.values().filter(|value| value.number() != 0);
    let names: Vec<String> = names.map(|value| value.name().to_owned()).collect();
    Some(names.join(", "))
}

/// Returns the field names of the message at a field path, or `None` if the path leads to anything else.
pub fn field_names<'a>(
    message: &MessageDescriptor,
    mut fields: impl Iterator<Item = &'a str>,
) -> Option<Vec<String>> {
    let Some(name) = fields.next() else {
        let all = message.fields();
        return Some(all.map(|field| field.json_name().to_owned()).collect());
    };
    let field = message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))?;
    let mut kind = field.kind();
    if field.is_map() {
        // The next segment is a map key.
        fields.next()?;
        let ProtoKind::Message(entry) = kind else {
            return None;
        };
        kind = entry.map_entry_value_field().kind();
    }
    let ProtoKind::Message(inner) = kind else {
        return None;
    };
    field_names(&inner, fields)
}

/// Returns the field names at a path such as `gateway.spec.bindings`, for which `spec` may be left out. Empty if the path
/// leads to nothing.
pub fn fields_at(path: &str) -> Vec<String> {
    let mut names = path.split('.');
    let kind = ApiResourceKind::parse(names.next().unwrap_or_default());
    let Some(message) = kind.ok().and_then(|kind| message(kind.name).ok()) else {
        return Vec::new();
    };
    let names: Vec<_> = names.map(|name| name.trim_end_matches("[]")).collect();
    let whole = field_names(&message, names.iter().copied());
    let below_spec = || {
        field_names(
            &message,
            std::iter::once("spec").chain(names.iter().copied()),
        )
    };
    match (whole, names.is_empty()) {
        (Some(own), false) => own,
        (None, _) => below_spec().unwrap_or_default(),
        // The fields of `spec` are what is asked for.
        (Some(own), true) => own
            .into_iter()
            .chain(below_spec().unwrap_or_default())
            .collect(),
    }
}

/// Deserializes a message from proto JSON.
pub fn from_json(kind: MessageDescriptor, json: &Value) -> Result<DynamicMessage, CliError> {
    let name = kind.name().to_owned();
    kind.deserialize(json)
        .map_err(|error| CliError::error(format!("not a valid {name}: {error}")))
}

/// Serializes a message to proto JSON, without fields that have their default value.
pub fn to_json(message: &DynamicMessage) -> Result<Value, CliError> {
    let options = SerializeOptions::new();
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| CliError::error(format!("cannot write JSON: {error}")))
}

/// Codec of messages whose type is known at run time only.
#[derive(Debug, Clone)]
pub struct DynamicCodec {
    /// Type of the responses.
    pub response: MessageDescriptor,
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(to)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.response.clone(), from)
            .map(Some)
            .map_err(|error| {
                Status::internal(format!("not the answer the contract promises: {error}"))
            })
    }
}
