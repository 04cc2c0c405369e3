//! Construction of a gateway's prompts, resources and templates, and of its feature set.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_mcp::{apps, object};
use toolgate_model::{
    Definition, Digest, Era, ObjectName, UriMode,
    snapshot::{DefinitionsResource, GatewayResource},
};

use crate::{
    PromptView, ServerView,
    seal::task::EXTENSION,
    view::{
        gateway::GatewayFeatures,
        resource::{ResourceIndex, ResourceView},
    },
};

use super::ViewAssembly;

pub(super) fn prompts(
    building: &ViewAssembly<'_>,
    gateway: &ObjectName,
    resource: &GatewayResource,
    problems: &mut Vec<String>,
) -> Vec<Arc<PromptView>> {
    let mut taken = BTreeSet::new();
    let mut known = BTreeMap::new();
    let mut prompts = Vec::with_capacity(resource.prompts.len());
    for prompt in &resource.prompts {
        let name = ObjectName::new(gateway.org.clone(), prompt.server.clone());
        let definitions = known.entry(&prompt.server).or_insert_with(|| {
            let prompts = server_definitions(building, &name).into_iter();
            let prompts = prompts.flat_map(|catalogue| &catalogue.prompts);
            prompts
                .map(|prompt| (prompt.name.as_str(), prompt))
                .collect::<BTreeMap<&str, &Definition>>()
        });
        let definition = definitions.get(prompt.original.as_str());
        let found = match (building.server(&name), definition) {
            (None, _) => Err("its server is not known"),
            (Some(_), None) => Err("its server's catalogue does not have it"),
            (Some(_), Some(definition)) if definition.digest != prompt.digest => {
                Err("its definition is not the approved one")
            }
            (Some(_), Some(_)) if !taken.insert(prompt.exposed.as_str()) => {
                Err("another prompt has this name")
            }
            (Some(server), Some(definition)) => PromptView::new(prompt, server, definition),
        };
        match found {
            Ok(view) => prompts.push(Arc::new(view)),
            Err(reason) => problems.push(format!("prompt `{}`: {reason}", prompt.exposed)),
        }
    }
    prompts
}

/// Digest of the exposed prompts.
pub(super) fn prompts_digest(prompts: &[Arc<PromptView>]) -> Digest {
    let mut bytes = Vec::new();
    for prompt in prompts {
        bytes.extend_from_slice(prompt.exposed.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&prompt.digest.0);
    }
    Digest::of_bytes(&bytes)
}

pub(super) fn resources(
    building: &ViewAssembly<'_>,
    gateway: &ObjectName,
    resource: &GatewayResource,
    problems: &mut Vec<String>,
) -> ResourceIndex {
    let mut resources = ResourceIndex {
        uris: resource.uris,
        ..ResourceIndex::default()
    };
    for id in &resource.resources {
        let name = ObjectName::new(gateway.org.clone(), id.clone());
        let Some(server) = building.server(&name) else {
            problems.push(format!("resources of `{id}`: the server is not known"));
            continue;
        };
        resources.servers.push(Arc::clone(server));
        if let Some(catalogue) = server_definitions(building, &name) {
            let all = [
                (
                    &catalogue.resources,
                    &mut resources.listed,
                    RESOURCE_CONSTRUCTORS[0],
                ),
                (
                    &catalogue.templates,
                    &mut resources.templates,
                    RESOURCE_CONSTRUCTORS[1],
                ),
            ];
            for (definitions, list, kind) in all {
                add_resources(resource.uris, server, definitions, list, kind, problems);
            }
        }
    }
    sort_by_uri(&mut resources.listed);
    sort_by_uri(&mut resources.templates);
    resources
}

type ResourceConstructor =
    fn(UriMode, &Arc<ServerView>, &Definition) -> Result<ResourceView, &'static str>;

const RESOURCE_CONSTRUCTORS: [(&str, ResourceConstructor); 2] = [
    ("resource", ResourceView::listed),
    ("template", ResourceView::template),
];

fn add_resources(
    uris: UriMode,
    server: &Arc<ServerView>,
    definitions: &[Definition],
    list: &mut Vec<Arc<ResourceView>>,
    (kind, make): (&str, ResourceConstructor),
    problems: &mut Vec<String>,
) {
    for definition in definitions {
        match make(uris, server, definition) {
            Ok(view) => list.push(Arc::new(view)),
            Err(reason) => {
                let name: String = definition.name.chars().take(128).collect();
                problems.push(format!("{kind} `{name}`: {reason}"));
            }
        }
    }
}

/// Sorts by exposed URI. Of equal URIs, that of the first binding stays. This is not reported as a problem: without
/// prefixes, URIs of different servers may overlap.
fn sort_by_uri(list: &mut Vec<Arc<ResourceView>>) {
    list.sort_by(|one, other| one.exposed.cmp(&other.exposed));
    list.dedup_by(|later, first| later.exposed == first.exposed);
}

/// Combined features of the gateway's servers.
pub(super) fn features(
    building: &ViewAssembly<'_>,
    gateway: &ObjectName,
    resource: &GatewayResource,
) -> GatewayFeatures {
    let mut offers = GatewayFeatures {
        prompts: !resource.prompts.is_empty(),
        resources: !resource.resources.is_empty(),
        ..GatewayFeatures::default()
    };
    for id in &resource.servers {
        let name = ObjectName::new(gateway.org.clone(), id.clone());
        let server = building.server(&name);
        let modern = server.is_some_and(|server| server.era == Some(Era::Modern));
        let known = server_definitions(building, &name);
        if known.is_some_and(has_app_pages) {
            offers.app_servers.insert(id.clone());
        }
        let capabilities = known.map(|it| it.capabilities.as_bytes());
        for capability in object::members(capabilities.unwrap_or_default()) {
            match &*capability.name {
                "logging" => offers.logging = true,
                "prompts" => offers.prompts = true,
                "resources" => {
                    offers.resources = true;
                    let subscribe = object::get(capability.value, "subscribe");
                    offers.subscribe |= subscribe == Some(b"true");
                }
                "completions" => {
                    offers.completion_servers.insert(id.clone());
                }
                "extensions" => {
                    let has = |extension: &str| object::get(capability.value, extension).is_some();
                    if modern && has(EXTENSION) {
                        offers.task_servers.insert(id.clone());
                    }
                    if has(apps::EXTENSION) {
                        offers.app_servers.insert(id.clone());
                    }
                }
                _ => {}
            }
        }
    }
    offers
}

/// Returns `true` if a server has MCP Apps pages. Servers need not declare the extension, and pages of tools need not
/// be listed.
fn has_app_pages(catalogue: &DefinitionsResource) -> bool {
    let listed = |resource: &Definition| resource.name.starts_with(apps::URI_SCHEME);
    let has_page = |tool: &Definition| {
        let meta = object::get(tool.json.as_bytes(), "_meta");
        meta.is_some_and(|meta| {
            let page = |at: &[u8], name: &str| object::get(at, name).is_some();
            object::get(meta, "ui").is_some_and(|ui| page(ui, "resourceUri"))
                || page(meta, "ui/resourceUri")
        })
    };
    catalogue.resources.iter().any(listed)
        || catalogue.templates.iter().any(listed)
        || catalogue.tools.iter().any(has_page)
}

fn server_definitions<'a>(
    building: &ViewAssembly<'a>,
    server: &ObjectName,
) -> Option<&'a DefinitionsResource> {
    let found = building.definitions(server);
    found.map(|(_, catalogue)| catalogue)
}
