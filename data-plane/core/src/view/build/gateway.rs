//! Construction of a gateway's view: tools, instructions, and the parts built elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use toolgate_mcp::message::Implementation;
use toolgate_model::{
    Digest, ObjectName, Slug, ToolListing,
    snapshot::{GatewayResource, RESERVED_TOOL_NAMES, unsupported_feature},
    text::truncated,
};

use crate::{
    GatewayView, ServerView, ToolView,
    authn::external::GatewayTrust,
    policy::GatewayPolicy,
    view::{
        builtin_tools, definition,
        gateway::{GatewayDenial, INSTRUCTIONS_LIMIT},
        tool_index::ToolIndex,
    },
};

use super::{ServerOffer, ViewAssembly, features};

/// Maximum number of problems reported per gateway; further ones are only counted.
const MAX_REASONS: usize = 8;

/// Maximum number of characters of an unknown feature that are shown.
const MAX_FEATURE_CHARS: usize = 64;

/// Server of a binding and what it offers, as far as they are known.
type BoundServer<'a> = (Option<&'a Arc<ServerView>>, Option<&'a Arc<ServerOffer>>);

pub(super) fn gateway(
    building: &ViewAssembly<'_>,
    name: &ObjectName,
    digest: Digest,
    resource: &GatewayResource,
) -> GatewayView {
    let mut problems = Vec::new();
    let denied = denied(resource);
    if let Some(GatewayDenial::UnknownFeature(feature)) = &denied {
        problems.push(format!(
            "it requires the feature `{feature}`, which this proxy does not know: all its requests are denied; update this proxy"
        ));
    }
    let tools = tools(building, name, resource, &mut problems);
    let prompts = features::prompts(building, name, resource, &mut problems);
    let resources = features::resources(building, name, resource, &mut problems);
    let servers = resource.servers.iter().filter_map(|id| {
        let name = ObjectName::new(name.org.clone(), id.clone());
        building.server(&name).cloned()
    });
    let by_name = tools
        .iter()
        .map(|tool| (tool.exposed.clone(), Arc::clone(tool)));
    let prompts_by_name = prompts
        .iter()
        .map(|prompt| (prompt.exposed.clone(), Arc::clone(prompt)));
    GatewayView {
        name: name.clone(),
        uid: resource.uid,
        denied,
        servers: servers.collect(),
        server_info: Implementation {
            name: name.id.to_string(),
            title: resource.display_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        instructions: instructions(building, name, resource, &tools),
        features: features::features(building, name, resource),
        digest,
        trust: trust(name, resource),
        tools_digest: match resource.listing {
            ToolListing::All => tools_digest(&tools),
            ToolListing::Progressive => builtin_tools::digest(),
        },
        tool_index: match resource.listing {
            ToolListing::All => None,
            ToolListing::Progressive => Some(ToolIndex::new(&tools)),
        },
        timeouts: resource.timeouts.clone(),
        policy: GatewayPolicy::new(name, &resource.rate_limits),
        prompts_digest: features::prompts_digest(&prompts),
        resources_digest: resources.digest(),
        by_name: by_name.collect(),
        tools,
        prompts_by_name: prompts_by_name.collect(),
        prompts,
        resources,
        lists: Default::default(),
        cached: Default::default(),
        problems: bounded_problems(problems),
    }
}

fn trust(name: &ObjectName, resource: &GatewayResource) -> Option<GatewayTrust> {
    let issuers = resource.identity_providers.as_slice();
    (!issuers.is_empty()).then(|| GatewayTrust::new(name, resource.uid, issuers))
}

fn denied(resource: &GatewayResource) -> Option<GatewayDenial> {
    if resource.is_unreadable() {
        return Some(GatewayDenial::Unreadable);
    }
    let unknown = unsupported_feature(&resource.must_understand)?;
    let unknown: String = unknown.chars().take(MAX_FEATURE_CHARS).collect();
    Some(GatewayDenial::UnknownFeature(unknown.into()))
}

fn tools(
    building: &ViewAssembly<'_>,
    gateway: &ObjectName,
    resource: &GatewayResource,
    problems: &mut Vec<String>,
) -> Vec<Arc<ToolView>> {
    let mut bound: BTreeMap<&Slug, BoundServer<'_>> = BTreeMap::new();
    let mut taken: BTreeSet<&str> = match resource.listing {
        ToolListing::All => BTreeSet::new(),
        ToolListing::Progressive => RESERVED_TOOL_NAMES.into(),
    };
    let mut tools = Vec::with_capacity(resource.tools.len());
    for tool in &resource.tools {
        let (server, offer) = *bound.entry(&tool.server).or_insert_with(|| {
            let name = ObjectName::new(gateway.org.clone(), tool.server.clone());
            (building.server(&name), building.offer(&name))
        });
        let offered =
            offer.and_then(|offer| offer.tool(&tool.original, resource.uris, &building.reads));
        let found = match (server, offered) {
            (None, _) => Err("its server is not known"),
            (Some(_), None) => Err("its server's catalogue does not have it"),
            (Some(_), Some((definition, _))) if definition.digest != tool.digest => {
                Err("its definition is not the approved one")
            }
            (Some(_), Some(_)) if !taken.insert(tool.exposed.as_str()) => {
                Err("another tool has this name")
            }
            (Some(server), Some(offered)) => {
                definition::expose(tool, server, offered, resource.uris)
            }
        };
        match found {
            Ok(view) => tools.push(Arc::new(view)),
            Err(reason) => problems.push(format!("tool `{}`: {reason}", tool.exposed)),
        }
    }
    tools
}

fn tools_digest(tools: &[Arc<ToolView>]) -> Digest {
    let mut bytes = Vec::new();
    for tool in tools {
        bytes.extend_from_slice(tool.exposed.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&tool.exposed_digest.0);
    }
    Digest::of_bytes(&bytes)
}

fn instructions(
    building: &ViewAssembly<'_>,
    gateway: &ObjectName,
    resource: &GatewayResource,
    tools: &[Arc<ToolView>],
) -> Box<str> {
    let mut text = resource.instructions.trim().to_owned();
    for id in &resource.servers {
        let name = ObjectName::new(gateway.org.clone(), id.clone());
        let Some(offer) = building.offer(&name).filter(|it| it.has_instructions()) else {
            continue;
        };
        let mut exposed = tools
            .iter()
            .filter(|tool| tool.server.name == name)
            .peekable();
        if exposed.peek().is_none() {
            continue;
        }
        let prefix = format!("{id}__");
        let prefixed = exposed.all(|tool| tool.exposed.starts_with(&prefix));
        let heading = if prefixed {
            format!("{prefix}*")
        } else {
            id.to_string()
        };
        let gap = if text.is_empty() { "" } else { "\n\n" };
        let quoted = offer.instructions();
        // Writing to a string does not fail.
        let _infallible = write!(text, "{gap}## {heading}\n\n> {quoted}");
    }
    truncated(&text, INSTRUCTIONS_LIMIT).into()
}

fn bounded_problems(mut problems: Vec<String>) -> Box<[String]> {
    let more = problems.len().saturating_sub(MAX_REASONS);
    problems.truncate(MAX_REASONS);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    problems.into()
}
