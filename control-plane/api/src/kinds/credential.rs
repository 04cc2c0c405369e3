//! Credentials. The plaintext value is sealed here, before it reaches any other component.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{
    ControlObject, Desired, ObjectKey, ObjectTable, StoreState, port::EncryptionContext,
};
use toolgate_model::{Credential, CredentialKind, ObjectName, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{
    InvalidResourceName, ResourceCollection,
    admin::{self, CredentialInput},
};

use super::{AdminResource, PreparedObject};
use crate::{control_api::ControlApi, status};

impl AdminResource for Credential {
    type Proto = pb::Credential;
    type Id = ObjectName;

    const FIELD: &'static str = "credential";
    const MESSAGE: &'static str = "toolgate.admin.v1.Credential";

    fn table(state: &StoreState) -> &ObjectTable<ObjectName, Self> {
        &state.credentials
    }

    fn first(org: &Slug) -> Option<ObjectName> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<ObjectName, InvalidResourceName> {
        ResourceCollection::Credentials.parse(name)
    }

    fn format(id: &ObjectName) -> String {
        ResourceCollection::Credentials.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<ObjectName> {
        org.map(|org| ObjectName::new(org.clone(), id))
    }

    fn org(id: &ObjectName) -> &Slug {
        &id.org
    }

    fn key(id: &ObjectName) -> ObjectKey {
        ObjectKey::Credential(id.clone())
    }

    fn metadata(message: &mut pb::Credential) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Credential {
        admin::credential_to_proto(self)
    }

    fn prepare(
        control_api: &dyn ControlApi,
        message: &pb::Credential,
        stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        let input = CredentialInput::from_proto(message).map_err(status::invalid_message)?;
        let value = match (&input.value, stored) {
            (Some(value), _) => {
                let place = encryption_context(&input.name);
                let sealed = control_api.seal().seal(&place, value.expose());
                sealed.map_err(|error| status::seal(&error))?
            }
            (None, Some(stored)) => {
                let CredentialKind::StaticHeader { header: _, value } = &stored.kind;
                value.clone()
            }
            (None, None) => {
                let field = "spec.static_header.value";
                return Err(status::invalid(
                    field,
                    "is required: set the header's value",
                ));
            }
        };
        Ok(Desired::Credential(input.sealed(value)).into())
    }

    fn of_object(object: &ControlObject) -> Option<&Arc<Self>> {
        match object {
            ControlObject::Credential(it) => Some(it),
            ControlObject::Organization(_)
            | ControlObject::Gateway(_)
            | ControlObject::Server(_)
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

/// Returns the encryption context of a credential value.
pub(crate) fn encryption_context(name: &ObjectName) -> EncryptionContext {
    EncryptionContext::credential_value(name)
}
