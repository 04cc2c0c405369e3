//! Credentials. The plaintext value is sealed here, before it reaches any other component.

use tonic::Status;
use toolgate_control_core::{OperatorObject, port::EncryptionContext};
use toolgate_model::{Credential, CredentialKind};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::admin::{self, CredentialInput};

use super::{AdminResource, PreparedObject};
use crate::{api_context::SecretServices, status};

impl AdminResource for Credential {
    fn to_message(&self) -> pb::Credential {
        admin::credential_to_proto(self)
    }

    fn prepare(
        secrets: &SecretServices,
        message: &pb::Credential,
        stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        let input = CredentialInput::from_proto(message).map_err(status::invalid_message)?;
        let value = match (&input.value, stored) {
            (Some(value), _) => {
                let encryption_context = EncryptionContext::credential_value(&input.name);
                let sealed = secrets.sealer.seal(&encryption_context, value.expose());
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
        Ok(OperatorObject::from(input.sealed(value)).into())
    }
}
