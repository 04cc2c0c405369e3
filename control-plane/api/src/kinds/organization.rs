//! Organizations. An organization belongs to itself.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{Desired, Key, Object, Shelf, State};
use toolgate_model::{Organization, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{InvalidResourceName, Wire, resource_name};

use super::{Prepared, Resource};
use crate::{desk::Desk, status};

impl Resource for Organization {
    type Proto = pb::Organization;
    type Id = Slug;

    const FIELD: &'static str = "organization";
    const MESSAGE: &'static str = "toolgate.admin.v1.Organization";

    fn shelf(state: &State) -> &Shelf<Slug, Self> {
        &state.organizations
    }

    fn first(org: &Slug) -> Option<Slug> {
        Some(org.clone())
    }

    fn parse(name: &str) -> Result<Slug, InvalidResourceName> {
        resource_name::parse_organization(name)
    }

    fn format(id: &Slug) -> String {
        resource_name::organization(id)
    }

    fn within(_org: Option<&Slug>, id: Slug) -> Option<Slug> {
        Some(id)
    }

    fn org(id: &Slug) -> &Slug {
        id
    }

    fn key(id: &Slug) -> Key {
        Key::Organization(id.clone())
    }

    fn metadata(message: &mut pb::Organization) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Organization {
        Wire::to_proto(self)
    }

    fn prepare(
        _desk: &dyn Desk,
        message: &pb::Organization,
        _stored: Option<&Self>,
    ) -> Result<Prepared, Status> {
        let it = Self::from_proto(message).map_err(status::invalid_message)?;
        Ok(Desired::Organization(it).into())
    }

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Organization(it) => Some(it),
            Object::Gateway(_)
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
