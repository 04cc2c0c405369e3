//! Tokens. The secret is created here. Fields that a caller may not set keep their stored value.

use std::sync::Arc;

use tonic::Status;
use toolgate_control_core::{Desired, Key, Object, Shelf, State};
use toolgate_model::{Name, Slug, Token};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::{
    Collection, InvalidResourceName,
    admin::{self, TokenInput},
};

use super::{Prepared, Resource};
use crate::{
    desk::{Desk, Purpose},
    status,
};

impl Resource for Token {
    type Proto = pb::Token;
    type Id = Name;

    const FIELD: &'static str = "token";
    const MESSAGE: &'static str = "toolgate.admin.v1.Token";

    fn shelf(state: &State) -> &Shelf<Name, Self> {
        &state.tokens
    }

    fn first(org: &Slug) -> Option<Name> {
        super::first_name(org)
    }

    fn parse(name: &str) -> Result<Name, InvalidResourceName> {
        Collection::Tokens.parse(name)
    }

    fn format(id: &Name) -> String {
        Collection::Tokens.format(id)
    }

    fn within(org: Option<&Slug>, id: Slug) -> Option<Name> {
        org.map(|org| Name::new(org.clone(), id))
    }

    fn org(id: &Name) -> &Slug {
        &id.org
    }

    fn key(id: &Name) -> Key {
        Key::Token(id.clone())
    }

    fn metadata(message: &mut pb::Token) -> &mut Option<pb::Metadata> {
        &mut message.metadata
    }

    fn is_systems(&self) -> bool {
        self.system
    }

    fn to_proto(&self) -> pb::Token {
        admin::token_to_proto(self)
    }

    fn prepare(
        desk: &dyn Desk,
        message: &pb::Token,
        stored: Option<&Self>,
    ) -> Result<Prepared, Status> {
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
        let minted = desk.mint(Purpose::Bearer);
        Ok(Prepared {
            desired: Desired::Token(input.minted(minted.hash, minted.hint)),
            secret: Some(minted.secret),
        })
    }

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Token(it) => Some(it),
            Object::Organization(_)
            | Object::Gateway(_)
            | Object::Server(_)
            | Object::Credential(_)
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
