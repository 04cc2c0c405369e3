//! Validates tool shapes: valid aliases, argument values in JSON, and no argument that is both fixed and hidden.

use std::collections::{BTreeMap, BTreeSet};

use toolgate_mcp::object;
use toolgate_model::{ServerBinding, ToolShapeSpec};

use crate::{
    compile::is_exposed_name,
    decide::field::{check_limit, check_text, truncated},
    limits,
    rejection::Rejection,
};

/// Validates the shapes of the binding at the field path `binding`.
pub(super) fn check(
    binding: &str,
    shapes: &BTreeMap<String, ToolShapeSpec>,
) -> Result<(), Rejection> {
    let field = format!("{binding}.shapes");
    let name = "tools shaped by a binding";
    check_limit(&field, name, limits::BINDING_SHAPES, shapes.len())?;
    for (tool, given) in shapes {
        let field = format!("{field}[{}]", truncated(tool));
        check_name(&field, "a name", tool)?;
        shape(&field, given)?;
    }
    Ok(())
}

/// Rejects aliases of one gateway that differ only by case: models and people take them for the same tool.
pub(super) fn check_aliases(field: &str, bindings: &[ServerBinding]) -> Result<(), Rejection> {
    let mut seen = BTreeMap::new();
    for (index, binding) in bindings.iter().enumerate() {
        for (tool, shape) in &binding.shapes {
            let Some(alias) = &shape.alias else {
                continue;
            };
            let earlier = seen.insert(alias.to_ascii_lowercase(), alias);
            if let Some(earlier) = earlier.filter(|earlier| *earlier != alias) {
                let field = format!("{field}[{index}].shapes[{}].alias", truncated(tool));
                let reason = format!(
                    "differs from the alias `{earlier}` of the same gateway only by case; choose another one"
                );
                return Err(Rejection::invalid(field, reason));
            }
        }
    }
    Ok(())
}

fn shape(field: &str, shape: &ToolShapeSpec) -> Result<(), Rejection> {
    if let Some(alias) = &shape.alias
        && !is_exposed_name(alias)
    {
        let reason = "use 1 to 64 of A-Z, a-z, 0-9, _, . and -: what every client takes as a name";
        return Err(Rejection::invalid(format!("{field}.alias"), reason));
    }
    if let Some(description) = &shape.description {
        let name = "characters of a tool's description";
        let field = format!("{field}.description");
        check_text(&field, description, name, limits::TOOL_DESCRIPTION)?;
    }
    let name = "arguments of a tool that are set";
    let fixed = format!("{field}.fixed");
    check_limit(&fixed, name, limits::SHAPE_ARGUMENTS, shape.fixed.len())?;
    for (argument, value) in &shape.fixed {
        let field = format!("{fixed}[{}]", truncated(argument));
        check_name(&field, "an argument's name", argument)?;
        let name = "bytes of an argument that is set";
        check_limit(&field, name, limits::SHAPE_VALUE, value.len())?;
        if !object::is_value(value) {
            let reason = "must be JSON: a text is written in quotes within quotes, '\"metric\"'";
            return Err(Rejection::invalid(field, reason));
        }
    }
    hidden(&format!("{field}.hidden"), shape)
}

fn hidden(field: &str, shape: &ToolShapeSpec) -> Result<(), Rejection> {
    let name = "arguments of a tool that are hidden";
    check_limit(field, name, limits::SHAPE_ARGUMENTS, shape.hidden.len())?;
    let mut seen = BTreeSet::new();
    for (index, argument) in shape.hidden.iter().enumerate() {
        let field = format!("{field}[{index}]");
        check_name(&field, "an argument's name", argument)?;
        if shape.fixed.contains_key(argument) {
            let reason = "is among `fixed` too; an argument that is set is hidden anyway, keep one of the two";
            return Err(Rejection::invalid(field, reason));
        }
        if !seen.insert(argument) {
            return Err(Rejection::invalid(field, "is there twice; keep one"));
        }
    }
    Ok(())
}

fn check_name(field: &str, what: &str, name: &str) -> Result<(), Rejection> {
    if name.is_empty() {
        return Err(Rejection::invalid(field, format!("{what} cannot be empty")));
    }
    check_text(field, name, "characters of a name", limits::TOOL_NAME)
}
