//! Reports shapes that have no effect or not the intended one: shapes of tools that are not offered or not exposed,
//! arguments that the tool does not declare, and hidden arguments that it requires.

use std::collections::BTreeSet;

use toolgate_mcp::{object, text::quote};
use toolgate_model::{
    BindingSelection, Definition, ServerBinding, ServerDefinitions, Slug, ToolShapeSpec,
};

use super::{ExposedKind, ProblemKind};

/// JSON Schema keywords that can declare arguments outside of `properties`.
const INDIRECT_KEYWORDS: [&str; 9] = [
    "$ref",
    "$dynamicRef",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "patternProperties",
    "dependentSchemas",
    "unevaluatedProperties",
];

/// Returns the problems of the shapes of a binding, by field.
pub(super) fn ineffective_shapes(
    field: &str,
    binding: &ServerBinding,
    catalogue: &ServerDefinitions,
) -> Vec<(String, ProblemKind)> {
    let mut problems = Vec::new();
    for (name, shape) in &binding.shapes {
        let (server, field) = (&binding.server, format!("{field}.shapes[{name}]"));
        let exposed = match &binding.tools {
            BindingSelection::All => true,
            BindingSelection::Only(names) => names.contains(name),
        };
        match catalogue.tools.iter().find(|tool| tool.name == *name) {
            Some(tool) if exposed => {
                problems.extend(argument_problems(&field, server, tool, shape))
            }
            Some(_) => {
                let (server, name) = (server.clone(), name.clone());
                problems.push((field, ProblemKind::ShapeUnused { server, name }));
            }
            None => {
                let kind = ProblemKind::NotOffered {
                    server: server.clone(),
                    what: ExposedKind::Tool,
                    name: name.clone(),
                };
                problems.push((field, kind));
            }
        }
    }
    problems
}

/// Returns problems of the arguments that a shape sets or hides: arguments that the tool does not declare (a
/// mistyped name leaves the intended argument under the control of callers), and hidden arguments that it requires
/// (every call fails).
fn argument_problems(
    field: &str,
    server: &Slug,
    tool: &Definition,
    shape: &ToolShapeSpec,
) -> Vec<(String, ProblemKind)> {
    if shape.fixed.is_empty() && shape.hidden.is_empty() {
        return Vec::new();
    }
    let Some(schema) = object::get(tool.json.as_bytes(), "inputSchema") else {
        return Vec::new();
    };
    let kind = |argument: &str, required: bool| {
        let (server, name) = (server.clone(), tool.name.clone());
        let argument = argument.to_owned();
        match required {
            true => ProblemKind::HiddenRequired {
                server,
                name,
                argument,
            },
            false => ProblemKind::NoArgument {
                server,
                name,
                argument,
            },
        }
    };
    let declared = declared_arguments(schema);
    let unknown = |name: &str| declared.as_ref().is_some_and(|all| !all.contains(name));
    let fixed = shape.fixed.keys().filter(|name| unknown(name));
    let mut problems: Vec<_> = fixed
        .map(|name| (format!("{field}.fixed[{name}]"), kind(name, false)))
        .collect();
    for (at, name) in shape.hidden.iter().enumerate() {
        let needed = requires(schema, name);
        if needed || unknown(name) {
            problems.push((format!("{field}.hidden[{at}]"), kind(name, needed)));
        }
    }
    problems
}

/// Returns the arguments that a schema declares; `None` if the schema may accept others.
fn declared_arguments(schema: &[u8]) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for member in object::members(schema) {
        match &*member.name {
            "properties" => names.extend(object::members(member.value).map(|it| it.name.into())),
            "additionalProperties" if member.value != b"false" => return None,
            name if INDIRECT_KEYWORDS.contains(&name) => return None,
            _ => {}
        }
    }
    Some(names)
}

/// Returns `true` if the schema requires the argument `name`.
fn requires(schema: &[u8], name: &str) -> bool {
    let list = object::get(schema, "required").unwrap_or(b"[]");
    let mut items = object::elements(list).into_iter();
    items.any(|span| span.of(list) == quote(name).as_bytes())
}
