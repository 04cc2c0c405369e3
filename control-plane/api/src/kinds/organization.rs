//! Organizations. An organization belongs to itself.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{ControlObject, Desired, ObjectKey, ObjectTable, StoreState};
use toolgate_model::{Organization, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{InvalidResourceName, ProtoConversion, resource_name};

use super::{AdminResource, PreparedObject};
use crate::{control_api::ControlApi, status};

impl AdminResource for Organization {
    type Proto = pb::Organization;
    type Id = Slug;

    const FIELD: &'static str = "organization";
    const MESSAGE: &'static str = "toolgate.admin.v1.Organization";

    fn table(state: &StoreState) -> &ObjectTable<Slug, Self> {
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

    fn key(id: &Slug) -> ObjectKey {
        ObjectKey::Organization(id.clone())
    }

    fn metadata(message: &mut pb::Organization) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Organization {
        ProtoConversion::to_proto(self)
    }

    fn prepare(
        _desk: &dyn ControlApi,
        message: &pb::Organization,
        _stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        let it = Self::from_proto(message).map_err(status::invalid_message)?;
        Ok(Desired::Organization(it).into())
    }

    fn of_object(object: &ControlObject) -> Option<&Arc<Self>> {
        match object {
            ControlObject::Organization(it) => Some(it),
            ControlObject::Gateway(_)
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
