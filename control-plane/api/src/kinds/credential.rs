//! Credentials. The plaintext value is sealed here, before it reaches any other component.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{Desired, Key, Object, Shelf, State, port::SealPlace};
use toolgate_model::{Credential, CredentialKind, Name, Slug};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{
    Collection, InvalidResourceName,
    admin::{self, CredentialInput},
};

use super::{Prepared, Resource};
use crate::{desk::Desk, status};

impl Resource for Credential {
    type Proto = pb::Credential;
    type Id = Name;

    const FIELD: &'static str = "credential";
    const MESSAGE: &'static str = "toolgate.admin.v1.Credential";

    fn shelf(state: &State) -> &Shelf<Name, Self> {
        &state.credentials
    }

    fn first(org: &Slug) -> Option<Name> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<Name, InvalidResourceName> {
        Collection::Credentials.parse(name)
    }

    fn format(id: &Name) -> String {
        Collection::Credentials.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<Name> {
        org.map(|org| Name::new(org.clone(), id))
    }

    fn org(id: &Name) -> &Slug {
        &id.org
    }

    fn key(id: &Name) -> Key {
        Key::Credential(id.clone())
    }

    fn metadata(message: &mut pb::Credential) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn to_proto(&self) -> pb::Credential {
        admin::credential_to_proto(self)
    }

    fn prepare(
        desk: &dyn Desk,
        message: &pb::Credential,
        stored: Option<&Self>,
    ) -> Result<Prepared, Status> {
        let input = CredentialInput::from_proto(message).map_err(status::invalid_message)?;
        let value = match (&input.value, stored) {
            (Some(value), _) => {
                let place = place(&input.name);
                let sealed = desk.seal().seal(&place, value.expose());
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

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Credential(it) => Some(it),
            Object::Organization(_)
            | Object::Gateway(_)
            | Object::Server(_)
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

/// Returns the encryption context of a credential value.
pub(crate) fn place(name: &Name) -> SealPlace {
    SealPlace::credential_value(name)
}
