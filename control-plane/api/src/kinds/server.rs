//! Servers. The status of a server comes from its last probe.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{ControlObject, Desired, ObjectKey, ObjectTable, StoreState};
use toolgate_model::{ObjectName, Server, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{InvalidResourceName, ProtoConversion, ResourceCollection};

use super::{AdminResource, PreparedObject};
use crate::{
    control_api::{ControlApi, PublishedState},
    problems, status,
};

impl AdminResource for Server {
    type Proto = pb::Server;
    type Id = ObjectName;

    const FIELD: &'static str = "server";
    const MESSAGE: &'static str = "toolgate.admin.v1.Server";

    fn table(state: &StoreState) -> &ObjectTable<ObjectName, Self> {
        &state.servers
    }

    fn first(org: &Slug) -> Option<ObjectName> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<ObjectName, InvalidResourceName> {
        ResourceCollection::Servers.parse(name)
    }

    fn format(id: &ObjectName) -> String {
        ResourceCollection::Servers.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<ObjectName> {
        org.map(|org| ObjectName::new(org.clone(), id))
    }

    fn org(id: &ObjectName) -> &Slug {
        &id.org
    }

    fn key(id: &ObjectName) -> ObjectKey {
        ObjectKey::Server(id.clone())
    }

    fn metadata(message: &mut pb::Server) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Server {
        ProtoConversion::to_proto(self)
    }

    fn add_status(message: &mut pb::Server, id: &ObjectName, published: &PublishedState) {
        message.status = problems::of_server(id, published);
    }

    fn prepare(
        _desk: &dyn ControlApi,
        message: &pb::Server,
        _stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        let it = Self::from_proto(message).map_err(status::invalid_message)?;
        Ok(Desired::Server(it).into())
    }

    fn of_object(object: &ControlObject) -> Option<&Arc<Self>> {
        match object {
            ControlObject::Server(it) => Some(it),
            ControlObject::Organization(_)
            | ControlObject::Gateway(_)
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
