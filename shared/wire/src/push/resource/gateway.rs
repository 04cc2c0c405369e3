//! Conversion of gateways: the exposed tools, prompts and resources with their names.

use std::{collections::BTreeMap, time::Duration};

use toolgate_model::{
    Slug, ToolListing, Uid, UriMode,
    snapshot::{ExposedPrompt, ExposedTool, GatewayResource, ToolShape},
};
use toolgate_proto::push::v1 as pb;

use super::trusted_issuer;
use crate::{field, invalid::FieldViolation, limits, rate_limit, tool_shape as arguments};

pub(super) fn checked(given: &pb::Gateway) -> Result<GatewayResource, FieldViolation> {
    field::max_count(
        "must_understand",
        given.must_understand.len(),
        limits::MUST_UNDERSTAND,
    )?;
    let uris = if given.through_uris {
        UriMode::Through
    } else {
        UriMode::Prefixed
    };
    let listing = if given.progressive {
        ToolListing::Progressive
    } else {
        ToolListing::All
    };
    Ok(GatewayResource {
        uid: field::uid("uid", &given.uid)?,
        display_name: field::bounded("display_name", &given.display_name, limits::DISPLAY_NAME)?,
        instructions: field::bounded("instructions", &given.instructions, limits::INSTRUCTIONS)?,
        tools: field::each("tools", &given.tools, limits::TOOLS, tool)?,
        prompts: field::each("prompts", &given.prompts, limits::TOOLS, prompt)?,
        resources: slugs("resources", &given.resources)?,
        uris,
        listing,
        servers: slugs("servers", &given.servers)?,
        timeouts: timeouts(&given.timeouts_ms)?,
        rate_limits: rate_limit::scoped("rate_limits", &given.rate_limits)?,
        identity_providers: field::each(
            "identity_providers",
            &given.identity_providers,
            limits::ADMITTED_PROVIDERS,
            trusted_issuer::checked,
        )?,
        must_understand: given.must_understand.clone(),
    })
}

pub(super) fn to_proto(given: &GatewayResource) -> pb::Gateway {
    let tool = |tool: &ExposedTool| pb::Tool {
        exposed: tool.exposed.clone(),
        server: tool.server.to_string(),
        original: tool.original.clone(),
        digest: tool.digest.0.to_vec(),
        shape: tool.shape.as_ref().map(shape_to_proto),
    };
    let prompt = |prompt: &ExposedPrompt| pb::Prompt {
        exposed: prompt.exposed.clone(),
        server: prompt.server.to_string(),
        original: prompt.original.clone(),
        digest: prompt.digest.0.to_vec(),
    };
    let timeout = |(server, most): (&Slug, &Duration)| (server.to_string(), field::to_ms(*most));
    pb::Gateway {
        display_name: given.display_name.clone(),
        instructions: given.instructions.clone(),
        tools: given.tools.iter().map(tool).collect(),
        servers: given.servers.iter().map(ToString::to_string).collect(),
        must_understand: given.must_understand.clone(),
        prompts: given.prompts.iter().map(prompt).collect(),
        resources: given.resources.iter().map(ToString::to_string).collect(),
        through_uris: given.uris == UriMode::Through,
        progressive: given.listing == ToolListing::Progressive,
        timeouts_ms: given.timeouts.iter().map(timeout).collect(),
        rate_limits: rate_limit::scoped_to_proto(&given.rate_limits),
        uid: given.uid.as_ref().map(Uid::to_string).unwrap_or_default(),
        identity_providers: given
            .identity_providers
            .iter()
            .map(trusted_issuer::to_proto)
            .collect(),
    }
}

fn tool(given: &pb::Tool) -> Result<ExposedTool, FieldViolation> {
    Ok(ExposedTool {
        exposed: field::required("exposed", &given.exposed, limits::TOOL_NAME)?,
        server: field::slug("server", &given.server)?,
        original: field::required("original", &given.original, limits::TOOL_NAME)?,
        digest: field::digest("digest", &given.digest)?,
        shape: given.shape.as_ref().map(shape).transpose()?,
    })
}

fn shape(given: &pb::ToolShape) -> Result<ToolShape, FieldViolation> {
    let shape = || {
        Ok(ToolShape {
            description: arguments::description(given.description.as_ref())?,
            fixed: arguments::fixed(&given.fixed)?,
            hidden: arguments::hidden(&given.hidden)?,
        })
    };
    shape().map_err(|violation: FieldViolation| violation.under("shape"))
}

fn shape_to_proto(given: &ToolShape) -> pb::ToolShape {
    pb::ToolShape {
        description: given.description.clone(),
        fixed: given.fixed.clone(),
        hidden: given.hidden.clone(),
    }
}

fn timeouts(given: &BTreeMap<String, u64>) -> Result<BTreeMap<Slug, Duration>, FieldViolation> {
    field::max_count("timeouts_ms", given.len(), limits::BINDINGS)?;
    let one = |(server, most): (&String, &u64)| {
        let path = format!("timeouts_ms[{server:?}]");
        Ok((
            field::slug(&path, server)?,
            field::timeout_ms(&path, *most)?,
        ))
    };
    given.iter().map(one).collect()
}

fn prompt(given: &pb::Prompt) -> Result<ExposedPrompt, FieldViolation> {
    Ok(ExposedPrompt {
        exposed: field::required("exposed", &given.exposed, limits::TOOL_NAME)?,
        server: field::slug("server", &given.server)?,
        original: field::required("original", &given.original, limits::TOOL_NAME)?,
        digest: field::digest("digest", &given.digest)?,
    })
}

fn slugs(field: &str, given: &[String]) -> Result<Vec<Slug>, FieldViolation> {
    field::max_count(field, given.len(), limits::BINDINGS)?;
    let slug = |(at, given): (usize, &String)| field::slug(&format!("{field}[{at}]"), given);
    given.iter().enumerate().map(slug).collect()
}
