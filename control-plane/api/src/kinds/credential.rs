//! Credentials. Plaintext secrets are sealed here, so that the command, the state and the store hold sealed values only.

use tonic::Status;
use toolgate_control_core::{
    FieldCause, OperatorObject,
    port::{EncryptionContext, SealedCredentialField, sealed_credential_fields},
};
use toolgate_model::Credential;
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::admin::{self, CredentialFields, CredentialInput, FieldInput};

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
        let name = input.name.clone();
        let stored = stored.map(sealed_credential_fields).unwrap_or_default();
        let sealed = input.with_values(|fields, given| {
            let context = match fields {
                CredentialFields::StaticHeader(_) => EncryptionContext::credential_value(&name),
                CredentialFields::Several(_) => {
                    EncryptionContext::credential_field(&name, given.place, &given.name)
                }
            };
            let seal = |plain: &[u8]| {
                let sealed = secrets.sealer.seal_secret(&context, plain);
                sealed.map_err(|error| status::seal(&error))
            };
            if let Some(value) = &given.value {
                return seal(value.expose());
            }
            let kept = kept(fields, given, &stored).ok_or_else(|| {
                status::invalid_because(
                    &given.path,
                    "is required: no value is stored under this name",
                    &FieldCause::new("NO_VALUE"),
                )
            })?;
            if kept.context == context {
                return Ok(kept.value.clone());
            }
            let opened = secrets.sealer.open_secret(&kept.context, kept.value);
            seal((*opened.map_err(|error| status::seal(&error))?).as_ref())
        })?;
        Ok(OperatorObject::from(sealed).into())
    }
}

/// Returns the stored value that a header or query parameter without value keeps: the value of the same name, or, for a
/// credential that was and remains one static header, the value of the header under another name.
fn kept<'a, 'b>(
    fields: &CredentialFields,
    given: &FieldInput,
    stored: &'a [SealedCredentialField<'b>],
) -> Option<&'a SealedCredentialField<'b>> {
    if let (CredentialFields::StaticHeader(_), [only]) = (fields, stored)
        && only.context.field == "value"
    {
        return Some(only);
    }
    let mut stored = stored.iter();
    stored.find(|field| field.place == given.place && field.name == given.name)
}
