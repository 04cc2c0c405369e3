//! Conversion of the definitions offered by servers.

use std::sync::Arc;

use toolgate_model::{Definition, snapshot::DefinitionsResource};
use toolgate_proto::push::v1 as pb;

use crate::{field, invalid::FieldViolation, limits};

pub(super) fn checked(given: &pb::Catalogue) -> Result<DefinitionsResource, FieldViolation> {
    let capabilities = &given.capabilities_json;
    Ok(DefinitionsResource {
        tools: definitions("tools", &given.tools, limits::TOOL_NAME)?,
        prompts: definitions("prompts", &given.prompts, limits::TOOL_NAME)?,
        resources: definitions("resources", &given.resources, limits::RESOURCE_URI)?,
        templates: definitions("templates", &given.templates, limits::RESOURCE_URI)?,
        instructions: field::bounded("instructions", &given.instructions, limits::INSTRUCTIONS)?,
        capabilities: field::bounded("capabilities_json", capabilities, limits::CAPABILITIES)?,
    })
}

pub(super) fn to_proto(given: &DefinitionsResource) -> pb::Catalogue {
    let all = |given: &[Definition]| given.iter().map(definition_to_proto).collect();
    pb::Catalogue {
        tools: all(&given.tools),
        instructions: given.instructions.clone(),
        capabilities_json: given.capabilities.clone(),
        prompts: all(&given.prompts),
        resources: all(&given.resources),
        templates: all(&given.templates),
    }
}

/// Position of a definition: its list, and its index there.
pub(super) type DefinitionPosition = (usize, usize);

/// Converts the definitions from `start` on, until they have `bytes` bytes. The first piece has what is not in the lists.
/// Returns the position of the next piece; `None` after the last one.
pub(super) fn piece(
    given: &DefinitionsResource,
    start: DefinitionPosition,
    bytes: usize,
) -> (pb::Catalogue, Option<DefinitionPosition>) {
    let mut piece = pb::Catalogue::default();
    if start == (0, 0) {
        piece.instructions.clone_from(&given.instructions);
        piece.capabilities_json.clone_from(&given.capabilities);
    }
    let lists = [
        &given.tools,
        &given.prompts,
        &given.resources,
        &given.templates,
    ];
    let mut size = 0;
    for (index, list) in lists.into_iter().enumerate().skip(start.0) {
        let from = if index == start.0 { start.1 } else { 0 };
        for (at, definition) in list.iter().enumerate().skip(from) {
            if size >= bytes {
                return (piece, Some((index, at)));
            }
            size += definition.name.len() + definition.json.len();
            list_in(&mut piece, index).push(definition_to_proto(definition));
        }
    }
    (piece, None)
}

fn list_in(piece: &mut pb::Catalogue, index: usize) -> &mut Vec<pb::Definition> {
    match index {
        0 => &mut piece.tools,
        1 => &mut piece.prompts,
        2 => &mut piece.resources,
        _ => &mut piece.templates,
    }
}

/// Appends the lists of a further piece.
pub(super) fn join(piece: &mut pb::Catalogue, next: pb::Catalogue) {
    piece.tools.extend(next.tools);
    piece.prompts.extend(next.prompts);
    piece.resources.extend(next.resources);
    piece.templates.extend(next.templates);
}

/// Converts definitions whose names have at most `name` bytes.
fn definitions(
    field: &str,
    given: &[pb::Definition],
    name: usize,
) -> Result<Vec<Definition>, FieldViolation> {
    field::each(field, given, limits::TOOLS, |given| {
        let json = field::required("json", &given.json, limits::DEFINITION)?;
        Ok(Definition {
            name: field::required("name", &given.name, name)?,
            digest: field::digest("digest", &given.digest)?,
            json: Arc::from(json),
        })
    })
}

fn definition_to_proto(given: &Definition) -> pb::Definition {
    pb::Definition {
        name: given.name.clone(),
        digest: given.digest.0.to_vec(),
        json: given.json.to_string(),
    }
}
