//! Conversion of the definitions offered by servers. Their texts are untrusted: limited in size, and otherwise kept as
//! received.

use serde_json::Value;
use toolgate_model::{Definition, DefinitionsPart, Era, ServerDefinitions, Timestamp};
use toolgate_proto::{admin::v1 as pb, store::v1 as store_pb};

use super::probe_problem::{from_fields, probe_result_fields};
use crate::{
    ProtoConversion, field,
    invalid::{FieldViolation, invalid},
    limits, resource_name,
};

invalid! {
    /// Error of an invalid catalogue message.
    InvalidServerDefinitions: "catalogue";
}

impl ProtoConversion for ServerDefinitions {
    type Proto = pb::Catalogue;
    type Invalid = InvalidServerDefinitions;

    fn from_proto(proto: &pb::Catalogue) -> Result<Self, InvalidServerDefinitions> {
        let short = |field, given: &str| field::bounded(field, given, limits::SHORT);
        let server = resource_name::parse::<ServerDefinitions>(&proto.name)
            .map_err(|e| FieldViolation::new("name", e))?;
        let probed = field::timestamp("probe_time", proto.probe_time.as_ref())?;
        let since = field::timestamp("problem_since_time", proto.problem_since_time.as_ref())?;
        Ok(Self {
            server,
            era: era("era", &proto.era)?,
            protocol_version: short("protocol_version", &proto.protocol_version)?,
            legacy_version: short("legacy_version", &proto.legacy_version)?,
            server_name: short("server_name", &proto.server_name)?,
            server_version: short("server_version", &proto.server_version)?,
            instructions: field::bounded(
                "instructions",
                &proto.instructions,
                limits::INSTRUCTIONS,
            )?,
            capabilities: field::bounded(
                "capabilities_json",
                &proto.capabilities_json,
                limits::CAPABILITIES,
            )?,
            tools: definitions("tools", &proto.tools, limits::TOOL_NAME)?,
            prompts: definitions("prompts", &proto.prompts, limits::TOOL_NAME)?,
            resources: definitions("resources", &proto.resources, limits::RESOURCE_URI)?,
            templates: definitions("templates", &proto.templates, limits::RESOURCE_URI)?,
            probed: probed.unwrap_or(Timestamp(0)),
            problem: from_fields(&proto.problem, proto.probe_outcome, proto.probe_failure)?,
            problem_since: since,
            omissions: field::each("omissions", &proto.omissions, limits::OMISSIONS, |given| {
                field::bounded("text", given, limits::REASON)
            })?,
            parts: Vec::new(),
        })
    }

    fn to_proto(&self) -> pb::Catalogue {
        let probe = probe_result_fields(self.problem.as_ref());
        pb::Catalogue {
            name: resource_name::format::<ServerDefinitions>(&self.server),
            era: era_to_proto(self.era).to_owned(),
            protocol_version: self.protocol_version.clone(),
            server_name: self.server_name.clone(),
            server_version: self.server_version.clone(),
            instructions: self.instructions.clone(),
            tools: self.tools.iter().map(definition_to_proto).collect(),
            prompts: self.prompts.iter().map(definition_to_proto).collect(),
            resources: self.resources.iter().map(definition_to_proto).collect(),
            templates: self.templates.iter().map(definition_to_proto).collect(),
            probe_time: field::to_known_timestamp(self.probed),
            problem: self
                .problem
                .as_ref()
                .map(|it| it.text.clone())
                .unwrap_or_default(),
            capabilities_json: self.capabilities.clone(),
            legacy_version: self.legacy_version.clone(),
            problem_since_time: self.problem_since.map(field::to_timestamp),
            omissions: self.omissions.clone(),
            probe_outcome: probe.outcome.into(),
            probe_failure: probe.failure.into(),
        }
    }
}

/// Converts the lists of a part. The descriptions are left out, because the definitions contain them.
pub(crate) fn part_to_proto(part: &DefinitionsPart) -> store_pb::CataloguePart {
    let all = |given: &[Definition]| given.iter().map(stored_definition).collect();
    store_pb::CataloguePart {
        name: resource_name::format::<ServerDefinitions>(&part.server),
        tools: all(&part.tools),
        prompts: all(&part.prompts),
        resources: all(&part.resources),
        templates: all(&part.templates),
    }
}

/// Validates and converts a part.
pub(crate) fn part(given: &store_pb::CataloguePart) -> Result<DefinitionsPart, FieldViolation> {
    let server = resource_name::parse::<ServerDefinitions>(&given.name)
        .map_err(|e| FieldViolation::new("name", e))?;
    Ok(DefinitionsPart {
        server,
        tools: definitions("tools", &given.tools, limits::TOOL_NAME)?,
        prompts: definitions("prompts", &given.prompts, limits::TOOL_NAME)?,
        resources: definitions("resources", &given.resources, limits::RESOURCE_URI)?,
        templates: definitions("templates", &given.templates, limits::RESOURCE_URI)?,
    })
}

fn stored_definition(given: &Definition) -> pb::Definition {
    pb::Definition {
        description: String::new(),
        name: given.name.clone(),
        digest: given.digest.to_hex(),
        definition_json: given.json.to_string(),
    }
}

/// Parses an era. Empty means not known.
pub(crate) fn era(field: &str, given: &str) -> Result<Option<Era>, FieldViolation> {
    match given {
        "" => Ok(None),
        "legacy" => Ok(Some(Era::Legacy)),
        "modern" => Ok(Some(Era::Modern)),
        _ => Err(FieldViolation::new(
            field,
            "is neither `legacy` nor `modern`",
        )),
    }
}

/// Returns the name of an era.
pub(crate) fn era_to_proto(era: Option<Era>) -> &'static str {
    match era {
        None => "",
        Some(Era::Legacy) => "legacy",
        Some(Era::Modern) => "modern",
    }
}

fn definitions(
    field: &str,
    given: &[pb::Definition],
    name: usize,
) -> Result<Vec<Definition>, FieldViolation> {
    field::each(field, given, limits::TOOLS, |given| definition(given, name))
}

/// Converts one definition whose name has at most `name` bytes.
fn definition(given: &pb::Definition, name: usize) -> Result<Definition, FieldViolation> {
    let json = field::required(
        "definition_json",
        &given.definition_json,
        limits::DEFINITION,
    )?;
    Ok(Definition {
        name: field::required("name", &given.name, name)?,
        digest: field::hex_digest("digest", &given.digest)?,
        json: json.into(),
    })
}

fn definition_to_proto(given: &Definition) -> pb::Definition {
    pb::Definition {
        name: given.name.clone(),
        description: description(&given.json),
        digest: given.digest.to_hex(),
        definition_json: given.json.to_string(),
    }
}

/// Returns the description in a definition, for display. Empty if there is none.
fn description(json: &str) -> String {
    let definition: Value = serde_json::from_str(json).unwrap_or(Value::Null);
    let text = definition.get("description").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
