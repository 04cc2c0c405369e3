//! `explain`: describes the kinds and their fields, from the comments of the API.

use prost_reflect::{FieldDescriptor, Kind as ProtoKind, MessageDescriptor};
use serde_json::json;

use crate::cli::{
    client::{
        kind::{self, ApiResourceKind},
        schema, suggestions,
    },
    output::{
        OutputFormat, OutputWriter,
        error::{CliError, CliErrorKind},
    },
};

/// Explains a kind or a field.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate explain\n\
    \x20 toolgate explain gateway\n\
    \x20 toolgate explain gateway.spec.bindings\n\
    \x20 toolgate explain server.spec.relay.sampling\n\
    \x20 toolgate explain server --recursive")]
pub struct ExplainArgs {
    /// Kind, or a field of it: KIND.FIELD.FIELD. Without: the kinds.
    #[arg(value_name = "KIND[.FIELD]", add = crate::cli::commands::completion::by(crate::cli::commands::completion::explained_paths))]
    pub path: Option<String>,
    /// Show the fields of fields as a tree.
    #[arg(long)]
    pub recursive: bool,
}

/// Kind or field that is explained.
struct ExplainedField {
    path: String,
    type_name: String,
    comment: String,
    message: Option<MessageDescriptor>,
    values: Vec<(String, String)>,
}

impl ExplainArgs {
    /// Runs the command.
    pub fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let Some(path) = &self.path else {
            let row = |kind: &ApiResourceKind| {
                let comment = schema::message(kind.name).map(|it| schema::comment(&it));
                let summary = comment.unwrap_or_default();
                vec![
                    kind.plural.to_owned(),
                    kind.short.join(","),
                    kind.name.to_owned(),
                    crate::cli::output::cell::summary_line(&summary),
                ]
            };
            let rows = kind::ALL.iter().map(row).collect();
            return out.table(&["KIND", "SHORT", "DOCUMENT", "DESCRIPTION"], rows);
        };
        let explained = find(path)?;
        match out.format() {
            OutputFormat::Json => out.json(&as_json(&explained)),
            OutputFormat::Yaml => out.yaml(&as_json(&explained)),
            OutputFormat::Name => out.line(&explained.path),
            OutputFormat::Table | OutputFormat::Wide => {
                let text = self.text(&explained);
                text.lines().try_for_each(|line| out.line(line))
            }
        }
    }

    fn text(&self, explained: &ExplainedField) -> String {
        let mut text = format!("{}  <{}>\n", explained.path, explained.type_name);
        for line in explained.comment.lines() {
            text += &format!("  {line}\n");
        }
        if !explained.values.is_empty() {
            text += "\nValues\n";
            for (name, comment) in &explained.values {
                text += format!("  {name}  {}", comment.replace('\n', " ")).trim_end();
                text.push('\n');
            }
        }
        if let Some(message) = &explained.message {
            text += "\nFields\n";
            self.fields(message, 1, &mut text);
        }
        text
    }

    fn fields(&self, message: &MessageDescriptor, depth: usize, text: &mut String) {
        for field in message.fields() {
            let indent = "  ".repeat(depth);
            *text += &format!("{indent}{}  <{}>\n", field.json_name(), type_name(&field));
            if self.recursive {
                if let Some(inner) = inner_message(&field).filter(|_| depth < MAX_DEPTH) {
                    self.fields(&inner, depth + 1, text);
                }
                continue;
            }
            for line in schema::comment_of_field(&field).lines() {
                *text += &format!("{indent}    {line}\n");
            }
        }
    }
}

/// Maximum depth of the tree of fields.
const MAX_DEPTH: usize = 6;

fn as_json(explained: &ExplainedField) -> serde_json::Value {
    let fields = explained.message.iter().flat_map(MessageDescriptor::fields);
    let fields: Vec<_> = fields
        .map(|field| {
            json!({
                "name": field.json_name(),
                "type": type_name(&field),
                "description": schema::comment_of_field(&field),
            })
        })
        .collect();
    let values: Vec<_> = explained
        .values
        .iter()
        .map(|(name, comment)| json!({ "name": name, "description": comment }))
        .collect();
    json!({
        "path": explained.path, "type": explained.type_name, "description": explained.comment,
        "fields": fields, "values": values,
    })
}

fn find(path: &str) -> Result<ExplainedField, CliError> {
    let mut names = path.split('.').filter(|name| !name.is_empty());
    let kind = ApiResourceKind::parse(names.next().unwrap_or_default())?;
    let mut message = schema::message(kind.name)?;
    let mut explained = ExplainedField {
        path: kind.field(),
        type_name: kind.name.to_owned(),
        comment: schema::comment(&message),
        message: Some(message.clone()),
        values: Vec::new(),
    };
    let mut names = names.peekable();
    // `spec` may be left out.
    let spec = message.get_field_by_json_name("spec");
    if let (Some(name), Some(spec)) = (names.peek(), &spec)
        && field_named(&message, name).is_none()
    {
        message = inner_message(spec).unwrap_or(message);
        explained.path += ".spec";
    }
    let mut within = Some(message);
    for name in names {
        let field = within.as_ref().and_then(|it| field_named(it, name));
        let Some(field) = field else {
            return Err(no_field(&explained.path, name, within.as_ref()));
        };
        within = inner_message(&field);
        explained.path += &format!(".{}", field.json_name());
        explained.type_name = type_name(&field);
        explained.comment = schema::comment_of_field(&field);
        explained.values = schema::values_of(&field);
        if let (Some(inner), true) = (&within, explained.comment.is_empty()) {
            explained.comment = schema::comment(inner);
        }
        explained.message.clone_from(&within);
    }
    Ok(explained)
}

fn no_field(path: &str, name: &str, message: Option<&MessageDescriptor>) -> CliError {
    let known: Vec<_> = message
        .into_iter()
        .flat_map(MessageDescriptor::fields)
        .map(|field| field.json_name().to_owned())
        .collect();
    let fault = CliError::new(
        CliErrorKind::NotFound,
        format!("{path} has no field `{name}`"),
    );
    let fault = suggestions::with_suggestion(fault, name, known.iter().map(String::as_str));
    match known.is_empty() {
        true => fault,
        false => fault.with_next_step(format!("its fields: {}", known.join(", "))),
    }
}

fn field_named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    let name = name.trim_end_matches("[]");
    message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))
}

/// Returns the message that a field holds: itself, its elements, or the values of its map.
fn inner_message(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let mut kind = field.kind();
    if field.is_map() {
        kind = kind.as_message()?.map_entry_value_field().kind();
    }
    let message = kind.as_message()?;
    (message.package_name() == schema::PACKAGE).then(|| message.clone())
}

/// Returns the type of a field as it is written in documents.
fn type_name(field: &FieldDescriptor) -> String {
    let single = |kind: ProtoKind| match kind {
        ProtoKind::Message(message) => match message.full_name() {
            "google.protobuf.Duration" => "duration, such as 90s".to_owned(),
            "google.protobuf.Timestamp" => "time, such as 2026-01-31T12:00:00Z".to_owned(),
            _ => message.name().to_owned(),
        },
        ProtoKind::Enum(kind) => kind.name().to_owned(),
        ProtoKind::Bool => "boolean".to_owned(),
        ProtoKind::String => "string".to_owned(),
        ProtoKind::Bytes => "bytes".to_owned(),
        ProtoKind::Double | ProtoKind::Float => "number".to_owned(),
        ProtoKind::Int32
        | ProtoKind::Int64
        | ProtoKind::Uint32
        | ProtoKind::Uint64
        | ProtoKind::Sint32
        | ProtoKind::Sint64
        | ProtoKind::Fixed32
        | ProtoKind::Fixed64
        | ProtoKind::Sfixed32
        | ProtoKind::Sfixed64 => "integer".to_owned(),
    };
    let kind = field.kind();
    match kind.as_message() {
        Some(entry) if field.is_map() => {
            format!("map of {}", single(entry.map_entry_value_field().kind()))
        }
        Some(_) | None if field.is_list() => format!("list of {}", single(kind)),
        Some(_) | None => single(kind),
    }
}

#[cfg(test)]
mod tests;
