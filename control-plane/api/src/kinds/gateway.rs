//! Gateways. The status of a gateway comes from the compiled snapshot.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{ControlObject, Desired, ObjectKey, ObjectTable, StoreState};
use toolgate_model::{
    Gateway, ObjectName, ResourceKey, ResourceKind, Slug, SnapshotResource as Compiled,
    snapshot::{ExposedPrompt, ExposedTool},
};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{InvalidResourceName, ProtoConversion, ResourceCollection};

use super::{AdminResource, PreparedObject};
use crate::{
    control_api::{ControlApi, PublishedState},
    problems, status,
};

impl AdminResource for Gateway {
    type Proto = pb::Gateway;
    type Id = ObjectName;

    const FIELD: &'static str = "gateway";
    const MESSAGE: &'static str = "toolgate.admin.v1.Gateway";

    fn table(state: &StoreState) -> &ObjectTable<ObjectName, Self> {
        &state.gateways
    }

    fn first(org: &Slug) -> Option<ObjectName> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<ObjectName, InvalidResourceName> {
        ResourceCollection::Gateways.parse(name)
    }

    fn format(id: &ObjectName) -> String {
        ResourceCollection::Gateways.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<ObjectName> {
        org.map(|org| ObjectName::new(org.clone(), id))
    }

    fn org(id: &ObjectName) -> &Slug {
        &id.org
    }

    fn key(id: &ObjectName) -> ObjectKey {
        ObjectKey::Gateway(id.clone())
    }

    fn metadata(message: &mut pb::Gateway) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Gateway {
        ProtoConversion::to_proto(self)
    }

    fn add_status(message: &mut pb::Gateway, id: &ObjectName, published: &PublishedState) {
        message.status = Some(status_of(id, published));
    }

    fn prepare(
        _desk: &dyn ControlApi,
        message: &pb::Gateway,
        _stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        let it = Self::from_proto(message).map_err(status::invalid_message)?;
        Ok(Desired::Gateway(it).into())
    }

    fn of_object(object: &ControlObject) -> Option<&Arc<Self>> {
        match object {
            ControlObject::Gateway(it) => Some(it),
            ControlObject::Organization(_)
            | ControlObject::Server(_)
            | ControlObject::Credential(_)
            | ControlObject::Token(_)
            | ControlObject::Definitions(_)
            | ControlObject::Proxy(_)
            | ControlObject::Marker(_)
            | ControlObject::GatewayId(_)
            | ControlObject::SystemKey(_)
            | ControlObject::JoinToken(_)
            | ControlObject::Expelled(_)
            | ControlObject::Request(_)
            | ControlObject::History(_) => None,
        }
    }
}

/// Builds the status: path, exposed definitions, and problems that keep others from being exposed.
fn status_of(id: &ObjectName, published: &PublishedState) -> pb::GatewayStatus {
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
