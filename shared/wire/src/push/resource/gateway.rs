//! Gateways: what they expose, under which names.

use toolgate_model::{
    Slug, UriMode,
    snapshot::{ExposedPrompt, ExposedTool, GatewayResource},
};
use toolgate_proto::push::v1 as pb;

use crate::{field, invalid::Violation, limits};

pub(super) fn checked(given: &pb::Gateway) -> Result<GatewayResource, Violation> {
    field::cap(
        "must_understand",
        given.must_understand.len(),
        limits::MUST_UNDERSTAND,
    )?;
    let uris = if given.through_uris {
        UriMode::Through
    } else {
        UriMode::Prefixed
    };
    Ok(GatewayResource {
        display_name: field::bounded("display_name", &given.display_name, limits::DISPLAY_NAME)?,
        instructions: field::bounded("instructions", &given.instructions, limits::INSTRUCTIONS)?,
        tools: field::each("tools", &given.tools, limits::TOOLS, tool)?,
        prompts: field::each("prompts", &given.prompts, limits::TOOLS, prompt)?,
        resources: slugs("resources", &given.resources)?,
        uris,
        servers: slugs("servers", &given.servers)?,
        must_understand: given.must_understand.clone(),
    })
}

pub(super) fn to_proto(given: &GatewayResource) -> pb::Gateway {
    let tool = |tool: &ExposedTool| pb::Tool {
        exposed: tool.exposed.clone(),
        server: tool.server.to_string(),
        original: tool.original.clone(),
        digest: tool.digest.0.to_vec(),
    };
    let prompt = |prompt: &ExposedPrompt| pb::Prompt {
        exposed: prompt.exposed.clone(),
        server: prompt.server.to_string(),
        original: prompt.original.clone(),
        digest: prompt.digest.0.to_vec(),
    };
    pb::Gateway {
        display_name: given.display_name.clone(),
        instructions: given.instructions.clone(),
        tools: given.tools.iter().map(tool).collect(),
        servers: given.servers.iter().map(ToString::to_string).collect(),
        must_understand: given.must_understand.clone(),
        prompts: given.prompts.iter().map(prompt).collect(),
        resources: given.resources.iter().map(ToString::to_string).collect(),
        through_uris: given.uris == UriMode::Through,
    }
}

fn tool(given: &pb::Tool) -> Result<ExposedTool, Violation> {
    Ok(ExposedTool {
        exposed: field::required("exposed", &given.exposed, limits::TOOL_NAME)?,
        server: field::slug("server", &given.server)?,
        original: field::required("original", &given.original, limits::TOOL_NAME)?,
        digest: field::digest("digest", &given.digest)?,
    })
}

fn prompt(given: &pb::Prompt) -> Result<ExposedPrompt, Violation> {
    Ok(ExposedPrompt {
        exposed: field::required("exposed", &given.exposed, limits::TOOL_NAME)?,
        server: field::slug("server", &given.server)?,
        original: field::required("original", &given.original, limits::TOOL_NAME)?,
        digest: field::digest("digest", &given.digest)?,
    })
}

fn slugs(field: &str, given: &[String]) -> Result<Vec<Slug>, Violation> {
    field::cap(field, given.len(), limits::BINDINGS)?;
    let slug = |(at, given): (usize, &String)| field::slug(&format!("{field}[{at}]"), given);
    given.iter().enumerate().map(slug).collect()
}
