//! Servers. The status of a server comes from its last probe.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{Desired, Key, Object, Shelf, State};
use toolgate_model::{Name, Server, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{Collection, InvalidResourceName, Wire};

use super::{Prepared, Resource};
use crate::{
    desk::{Desk, Published},
    problems, status,
};

impl Resource for Server {
    type Proto = pb::Server;
    type Id = Name;

    const FIELD: &'static str = "server";
    const MESSAGE: &'static str = "toolgate.admin.v1.Server";

    fn shelf(state: &State) -> &Shelf<Name, Self> {
        &state.servers
    }

    fn first(org: &Slug) -> Option<Name> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<Name, InvalidResourceName> {
        Collection::Servers.parse(name)
    }

    fn format(id: &Name) -> String {
        Collection::Servers.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<Name> {
        org.map(|org| Name::new(org.clone(), id))
    }

    fn org(id: &Name) -> &Slug {
        &id.org
    }

    fn key(id: &Name) -> Key {
        Key::Server(id.clone())
    }

    fn metadata(message: &mut pb::Server) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Server {
        Wire::to_proto(self)
    }

    fn add_status(message: &mut pb::Server, id: &Name, published: &Published) {
        message.status = problems::of_server(id, published);
    }

    fn prepare(
        _desk: &dyn Desk,
        message: &pb::Server,
        _stored: Option<&Self>,
    ) -> Result<Prepared, Status> {
        let it = Self::from_proto(message).map_err(status::invalid_message)?;
        Ok(Desired::Server(it).into())
    }

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Server(it) => Some(it),
            Object::Organization(_)
            | Object::Gateway(_)
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
