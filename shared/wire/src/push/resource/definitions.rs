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
