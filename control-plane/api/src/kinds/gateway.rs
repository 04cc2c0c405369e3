//! Gateways. The status of a gateway comes from the compiled snapshot.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{Desired, Key, Object, Shelf, State};
use toolgate_model::{
    Gateway, Name, Resource as Compiled, ResourceKey, ResourceKind, Slug,
    snapshot::{ExposedPrompt, ExposedTool},
};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{Collection, InvalidResourceName, Wire};

use super::{Prepared, Resource};
use crate::{
    desk::{Desk, Published},
    problems, status,
};

impl Resource for Gateway {
    type Proto = pb::Gateway;
    type Id = Name;

    const FIELD: &'static str = "gateway";
    const MESSAGE: &'static str = "toolgate.admin.v1.Gateway";

    fn shelf(state: &State) -> &Shelf<Name, Self> {
        &state.gateways
    }

    fn first(org: &Slug) -> Option<Name> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<Name, InvalidResourceName> {
        Collection::Gateways.parse(name)
    }

    fn format(id: &Name) -> String {
        Collection::Gateways.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<Name> {
        org.map(|org| Name::new(org.clone(), id))
    }

    fn org(id: &Name) -> &Slug {
        &id.org
    }

    fn key(id: &Name) -> Key {
        Key::Gateway(id.clone())
    }

    fn metadata(message: &mut pb::Gateway) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Gateway {
        Wire::to_proto(self)
    }

    fn add_status(message: &mut pb::Gateway, id: &Name, published: &Published) {
        message.status = Some(status_of(id, published));
    }

    fn prepare(
        _desk: &dyn Desk,
        message: &pb::Gateway,
        _stored: Option<&Self>,
    ) -> Result<Prepared, Status> {
        let it = Self::from_proto(message).map_err(status::invalid_message)?;
        Ok(Desired::Gateway(it).into())
    }

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Gateway(it) => Some(it),
            Object::Organization(_)
            | Object::Server(_)
            | Object::Credential(_)
            | Object::Token(_)
            | Object::Catalogue(_)
            | Object::Proxy(_)
            | Object::Marker(_)
            | Object::GatewayId(_)
            | Object::SystemKey(_)
            | Object::JoinToken(_)
            | Object::Expelled(_)
            | Object::Request(_)
            | Object::History(_) => None,
        }
    }
}

/// Builds the status: path, exposed definitions, and problems that keep others from being exposed.
fn status_of(id: &Name, published: &Published) -> pb::GatewayStatus {
    let key = ResourceKey {
        kind: ResourceKind::Gateway,
        name: id.clone(),
    };
    let entry = published.compiled.snapshot.entries.get(&key);
    let gateway = match entry.map(|entry| &*entry.resource) {
        Some(Compiled::Gateway(gateway)) => Some(gateway),
        Some(Compiled::Server(_) | Compiled::Catalogue(_) | Compiled::Token(_)) | None => None,
    };
    let tools = gateway.map(|it| it.tools.iter().map(tool).collect());
    let prompts = gateway.map(|it| it.prompts.iter().map(prompt).collect());
    let resources = gateway.map(|it| it.resources.iter().map(Slug::to_string).collect());
    pb::GatewayStatus {
        path: format!("/v1/mcp/{}", id.id),
        tools: tools.unwrap_or_default(),
        problems: problems::of_gateway(id, published),
        prompts: prompts.unwrap_or_default(),
        resources: resources.unwrap_or_default(),
    }
}

fn tool(tool: &ExposedTool) -> pb::ExposedTool {
    pb::ExposedTool {
        name: tool.exposed.clone(),
        server: tool.server.to_string(),
        original_name: tool.original.clone(),
        digest: tool.digest.to_hex(),
    }
}

fn prompt(prompt: &ExposedPrompt) -> pb::ExposedPrompt {
    pb::ExposedPrompt {
        name: prompt.exposed.clone(),
        server: prompt.server.to_string(),
        original_name: prompt.original.clone(),
        digest: prompt.digest.to_hex(),
    }
}
