//! Tokens. The secret is created here. Fields that a caller may not set keep their stored value.

use tonic::Status;
use toolgate_control_core::{
    OperatorObject, VersionedObject,
    port::{PublishedState, SecretPurpose},
};
use toolgate_model::{ObjectName, Timestamp, Token};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::admin::{self, TokenInput};

use super::{AdminResource, PreparedObject};
use crate::{api_context::SecretServices, problems, status, watch::ObjectFingerprint};

impl AdminResource for Token {
    fn is_system_owned(&self) -> bool {
        self.system
    }

    fn to_message(&self) -> pb::Token {
        admin::token_to_proto(self)
    }

    fn add_status(
        message: &mut pb::Token,
        id: &ObjectName,
        published: &PublishedState,
        _now: Timestamp,
    ) {
        let status = message.status.get_or_insert_default();
        status.problem_details = problems::of_token(id, published);
        status.problems = problems::texts(&status.problem_details);
    }

    fn fingerprint(
        id: &ObjectName,
        stored: &VersionedObject<Self>,
        published: &PublishedState,
        _now: Timestamp,
    ) -> ObjectFingerprint {
        let problems = problems::texts(&problems::of_token(id, published));
        ObjectFingerprint::Compiled(stored.mod_revision, None, problems)
    }

    fn prepare(
        secrets: &SecretServices,
        message: &pb::Token,
        stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        let input = TokenInput::from_proto(message).map_err(status::invalid_message)?;
        if let Some(stored) = stored {
            let token = input.minted(stored.hash, stored.hint.clone());
            return Ok(OperatorObject::from(Self {
                revoked: stored.revoked,
                system: stored.system,
                ..token
            })
            .into());
        }
        let minted = secrets.tokens.mint_secret(SecretPurpose::Bearer);
        Ok(PreparedObject {
            desired: input.minted(minted.hash, minted.hint).into(),
            secret: Some(minted.secret),
        })
    }
}
