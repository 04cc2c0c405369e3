//! Tokens. The secret is created here. Fields that a caller may not set keep their stored value.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{ControlObject, Desired, ObjectKey, ObjectTable, StoreState};
use toolgate_model::{ObjectName, Slug, Token};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{
    InvalidResourceName, ResourceCollection,
    admin::{self, TokenInput},
};

use super::{AdminResource, PreparedObject};
use crate::{
    control_api::{ControlApi, SecretPurpose},
    status,
};

impl AdminResource for Token {
    type Proto = pb::Token;
    type Id = ObjectName;

    const FIELD: &'static str = "token";
    const MESSAGE: &'static str = "toolgate.admin.v1.Token";

    fn table(state: &StoreState) -> &ObjectTable<ObjectName, Self> {
        &state.tokens
    }

    fn first(org: &Slug) -> Option<ObjectName> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<ObjectName, InvalidResourceName> {
        ResourceCollection::Tokens.parse(name)
    }

    fn format(id: &ObjectName) -> String {
        ResourceCollection::Tokens.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<ObjectName> {
        org.map(|org| ObjectName::new(org.clone(), id))
    }

    fn org(id: &ObjectName) -> &Slug {
        &id.org
    }

    fn key(id: &ObjectName) -> ObjectKey {
        ObjectKey::Token(id.clone())
    }

    fn metadata(message: &mut pb::Token) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn is_system_owned(&self) -> bool {
        self.system
    }

    fn to_proto(&self) -> pb::Token {
        admin::token_to_proto(self)
    }

    fn prepare(
        control_api: &dyn ControlApi,
        message: &pb::Token,
        stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        let input = TokenInput::from_proto(message).map_err(status::invalid_message)?;
        if let Some(stored) = stored {
            let token = input.minted(stored.hash, stored.hint.clone());
            return Ok(Desired::Token(Self {
                revoked: stored.revoked,
                system: stored.system,
                ..token
            })
            .into());
        }
        let minted = control_api.mint_secret(SecretPurpose::Bearer);
        Ok(PreparedObject {
            desired: Desired::Token(input.minted(minted.hash, minted.hint)),
            secret: Some(minted.secret),
        })
    }

    fn of_object(object: &ControlObject) -> Option<&Arc<Self>> {
        match object {
            ControlObject::Token(it) => Some(it),
            ControlObject::Organization(_)
            | ControlObject::Gateway(_)
            | ControlObject::Server(_)
            | ControlObject::Credential(_)
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
