//! Construction of a gateway's prompts, resources and templates, and of its feature set.

use std::{collections::BTreeSet, sync::Arc};

use toolgate_model::{Digest, Era, ObjectName, snapshot::GatewayResource};

use crate::{
    PromptView,
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
    let mut prompts = Vec::with_capacity(resource.prompts.len());
    for prompt in &resource.prompts {
        let name = ObjectName::new(gateway.org.clone(), prompt.server.clone());
        let offer = building.offer(&name);
        let definition = offer.and_then(|offer| offer.prompt(&prompt.original));
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
        let offer = building.offer(&name);
        if let Some(offered) = offer.and_then(|it| it.resources(resource.uris, &building.reads)) {
            resources.listed.extend(offered.listed.iter().cloned());
            resources
                .templates
                .extend(offered.templates.iter().cloned());
            problems.extend(offered.problems.iter().cloned());
        }
    }
    sort_by_uri(&mut resources.listed);
    sort_by_uri(&mut resources.templates);
    resources
}

/// Sorts by exposed URI. Of resources with the same URI, the first binding's stays. This is not reported as a problem:
/// without prefixes, URIs of different servers may overlap.
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
        let Some(found) = building.offer(&name).map(|it| it.features(&building.reads)) else {
            continue;
        };
        offers.logging |= found.logging;
        offers.prompts |= found.prompts;
        offers.resources |= found.resources;
        offers.subscribe |= found.subscribe;
        for (has, servers) in [
            (found.app_pages, &mut offers.app_servers),
            (found.completions, &mut offers.completion_servers),
            (found.tasks && modern, &mut offers.task_servers),
        ] {
            if has {
                servers.insert(id.clone());
            }
        }
    }
    offers
}
