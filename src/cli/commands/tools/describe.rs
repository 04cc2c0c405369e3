//! `tools describe`: shows a tool with its arguments, and an example of a call.

use serde_json::{Map, Value, json};

use super::{explain_unlisted_tool, is_progressive, search_tools};
use crate::cli::{
    client::gateway_access::GatewayTarget,
    output::{
        OutputFormat, OutputWriter,
        error::{CliError, CliErrorKind},
    },
};

/// Maximum depth of arguments in the example.
const MAX_DEPTH: usize = 6;

/// Describes a tool.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate tools describe --gateway tools git__search")]
pub struct DescribeToolArgs {
    /// Name of the tool, as the gateway calls it.
    #[arg(add = crate::cli::commands::completion::by(crate::cli::commands::completion::tools))]
    pub name: String,
    /// Gateway to use.
    #[command(flatten)]
    pub target: GatewayTarget,
}

impl DescribeToolArgs {
    /// Runs the command.
    pub async fn run(mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        self.target.localize()?;
        let tools = self.target.with_client(async |client| {
            let mut listed = client.tools().await?;
            if is_progressive(&listed) {
                listed.extend(search_tools(client, &self.name).await);
            }
            Ok(listed)
        });
        let tools = tools.await?;
        let Some(tool) = tools.iter().find(|tool| tool["name"] == self.name.as_str()) else {
            let fault = CliError::new(
                CliErrorKind::NotFound,
                format!("the gateway lists no tool `{}`", self.name),
            );
            let fault = explain_unlisted_tool(fault, &tools, &self.name);
            return Err(self.target.explain_limit(fault, Some(&self.name)).await);
        };
        match out.format() {
            OutputFormat::Json => out.json(tool),
            OutputFormat::Yaml => out.yaml(tool),
            OutputFormat::Name => out.line(&self.name),
            OutputFormat::Table | OutputFormat::Wide => self.describe(tool, out),
        }
    }

    fn describe(&self, tool: &Value, out: &mut OutputWriter) -> Result<(), CliError> {
        out.line(&self.name)?;
        let description = tool["description"].as_str().unwrap_or_default();
        for line in description.lines() {
            out.line(format!("  {line}").trim_end())?;
        }
        let hints = hints(&tool["annotations"]);
        if !hints.is_empty() {
            out.line(format_args!(
                "  The server says that it {}.",
                hints.join(", ")
            ))?;
        }
        out.line("")?;
        let rows = argument_rows(&tool["inputSchema"]);
        match rows.is_empty() {
            true => out.line("It takes no arguments.")?,
            false => out.table(
                &["ARGUMENT", "TYPE", "REQUIRED", "DEFAULT", "DESCRIPTION"],
                rows,
            )?,
        }
        let example = example(&tool["inputSchema"], 0);
        let example = example.to_string().replace('\'', "'\\''");
        out.line("")?;
        out.line(format_args!(
            "Example: toolgate tools call --gateway {} {} --args '{example}'",
            self.target.gateway, self.name
        ))
    }
}

/// Returns the statements of a server about its tool.
fn hints(annotations: &Value) -> Vec<&'static str> {
    [
        ("readOnlyHint", true, "changes nothing"),
        ("destructiveHint", true, "may destroy something"),
        ("idempotentHint", true, "can be repeated"),
        ("openWorldHint", true, "reaches other systems"),
    ]
    .into_iter()
    .filter(|(name, value, _)| annotations[*name] == *value)
    .map(|(_, _, text)| text)
    .collect()
}

/// Returns a row for each argument; those of nested objects have dotted names.
fn argument_rows(schema: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    add_rows(schema, "", 0, &mut rows);
    rows
}

fn add_rows(schema: &Value, prefix: &str, depth: usize, rows: &mut Vec<Vec<String>>) {
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|it| it.iter().any(|one| one == name));
    for (name, argument) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let default = argument.get("default").map(Value::to_string);
        let description = argument["description"].as_str().unwrap_or_default();
        rows.push(vec![
            path.clone(),
            type_of(argument),
            if is_required(name) { "yes" } else { "no" }.to_owned(),
            default.unwrap_or_else(|| "-".to_owned()),
            description.split_whitespace().collect::<Vec<_>>().join(" "),
        ]);
        if depth < MAX_DEPTH {
            add_rows(argument, &format!("{path}."), depth + 1, rows);
            let items = &argument["items"];
            add_rows(items, &format!("{path}[]."), depth + 1, rows);
        }
    }
}

/// Describes the type of an argument: its JSON type, or its values.
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().map(Value::to_string).collect();
        return values.join(" | ");
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let choices: Vec<_> = choices.iter().map(type_of).collect();
            return choices.join(" | ");
        }
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", type_of(&schema["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            names.join(" | ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    }
}

/// Returns an example of a value: all that is required, with the examples and defaults of the schema where it has any.
fn example(schema: &Value, depth: usize) -> Value {
    let given = [
        &schema["examples"][0],
        &schema["default"],
        &schema["const"],
        &schema["enum"][0],
    ];
    if let Some(given) = given.into_iter().find(|value| !value.is_null()) {
        return given.clone();
    }
    for choice in ["anyOf", "oneOf"] {
        if schema[choice][0].is_object() {
            return example(&schema[choice][0], depth + 1);
        }
    }
    let name = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match name {
        Some("string") => json!("TEXT"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("array") if depth < MAX_DEPTH => json!([example(&schema["items"], depth + 1)]),
        Some("array") => json!([]),
        Some("null") => Value::Null,
        _ => example_object(schema, depth),
    }
}

fn example_object(schema: &Value, depth: usize) -> Value {
    let mut members = Map::new();
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if depth < MAX_DEPTH {
            members.insert(
                name.to_owned(),
                example(&schema["properties"][name], depth + 1),
            );
        }
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests;
