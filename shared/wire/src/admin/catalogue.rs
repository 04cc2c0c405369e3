//! Catalogues: what servers were seen to offer. Their texts are a stranger's: bounded, otherwise taken as they are.

use serde_json::Value;
use toolgate_model::{Catalogue, Era, Timestamp, ToolDefinition};
use toolgate_proto::admin::v1 as pb;

use crate::{
    Wire, field,
    invalid::{Violation, invalid},
    limits,
    resource_name::Collection,
};

invalid! {
    /// Why a message is no catalogue.
    InvalidCatalogue: "catalogue";
}

impl Wire for Catalogue {
    type Proto = pb::Catalogue;
    type Invalid = InvalidCatalogue;

    fn from_proto(proto: &pb::Catalogue) -> Result<Self, InvalidCatalogue> {
        let short = |field, given: &str| field::bounded(field, given, limits::SHORT);
        let server = Collection::Catalogues
            .parse(&proto.name)
            .map_err(|e| Violation::new("name", e))?;
        field::cap("tools", proto.tools.len(), limits::TOOLS)?;
        let tools = proto.tools.iter().enumerate();
        let tools: Result<Vec<_>, Violation> = tools
            .map(|(at, given)| definition(given).map_err(|v| v.under(&format!("tools[{at}]"))))
            .collect();
        let problem = field::bounded("problem", &proto.problem, limits::REASON)?;
        let probed = field::timestamp("probe_time", proto.probe_time.as_ref())?;
        Ok(Self {
            server,
            era: era("era", &proto.era)?,
            protocol_version: short("protocol_version", &proto.protocol_version)?,
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
            tools: tools?,
            probed: probed.unwrap_or(Timestamp(0)),
            problem: (!problem.is_empty()).then_some(problem),
        })
    }

    fn to_proto(&self) -> pb::Catalogue {
        let tool = |tool: &ToolDefinition| pb::CatalogueTool {
            name: tool.name.clone(),
            description: description(&tool.json),
            digest: tool.digest.to_hex(),
            definition_json: tool.json.to_string(),
        };
        pb::Catalogue {
            name: Collection::Catalogues.format(&self.server),
            era: era_to_proto(self.era).to_owned(),
            protocol_version: self.protocol_version.clone(),
            server_name: self.server_name.clone(),
            server_version: self.server_version.clone(),
            instructions: self.instructions.clone(),
            tools: self.tools.iter().map(tool).collect(),
            probe_time: field::to_known_timestamp(self.probed),
            problem: self.problem.clone().unwrap_or_default(),
            capabilities_json: self.capabilities.clone(),
        }
    }
}

/// An era by its word; empty for not known.
pub(crate) fn era(field: &str, given: &str) -> Result<Option<Era>, Violation> {
    match given {
        "" => Ok(None),
        "legacy" => Ok(Some(Era::Legacy)),
        "modern" => Ok(Some(Era::Modern)),
        _ => Err(Violation::new(field, "is neither `legacy` nor `modern`")),
    }
}

/// The word for an era.
pub(crate) fn era_to_proto(era: Option<Era>) -> &'static str {
    match era {
        None => "",
        Some(Era::Legacy) => "legacy",
        Some(Era::Modern) => "modern",
    }
}

fn definition(given: &pb::CatalogueTool) -> Result<ToolDefinition, Violation> {
    let json = field::required(
        "definition_json",
        &given.definition_json,
        limits::DEFINITION,
    )?;
    Ok(ToolDefinition {
        name: field::required("name", &given.name, limits::TOOL_NAME)?,
        digest: field::hex_digest("digest", &given.digest)?,
        json: json.into(),
    })
}

/// The description in a definition, for people; empty if there is none.
fn description(json: &str) -> String {
    let definition: Value = serde_json::from_str(json).unwrap_or(Value::Null);
    let text = definition.get("description").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
