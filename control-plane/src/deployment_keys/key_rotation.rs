//! Key rotation. When a newer key is first in the key file, the next start seals all values under older keys again, so
//! that the older keys can be removed afterwards. Plaintext exists only in memory. A value that does not open is left
//! as it is and named in the log. If two control planes do this at once, guards reject the second write; either result
//! is valid.

use std::sync::Arc;

use toolgate_control_core::{
    Command, CommandAuthor, CommandContext, OperatorObject, Rejection, Revision,
    port::{
        EncryptionContext, SealError, SecretSealer as _, SubmitError, sealed_credential_fields,
    },
};
use toolgate_model::{Credential, CredentialKind, SealedBlob, Slug};
use toolgate_vault::EnvelopeSealer;

use crate::write_path::StoreWriter;

#[cfg(test)]
mod tests;

/// Seals all stale values again and returns their number. Stops at the first failure of the store; the next start
/// continues.
pub(crate) async fn run(
    writer: StoreWriter,
    vault: Arc<EnvelopeSealer>,
) -> Result<usize, SubmitError> {
    let state = writer.current();
    let mut commands = Vec::new();
    for (name, stored) in state.system_keys.iter() {
        commands.extend(system_key(
            &vault,
            name,
            &stored.object,
            stored.mod_revision,
        ));
    }
    for (_, stored) in state.credentials.iter() {
        commands.extend(credential(&vault, stored, stored.mod_revision));
    }
    let mut done = 0;
    for command in commands {
        let context = CommandContext {
            now: writer.clock.now(),
            author: CommandAuthor::Task("reseal"),
            request: None,
        };
        match writer.write(&command, &context).await {
            Ok(_) => done += 1,
            // Written or deleted in the meantime, so it is no longer stale.
            Err(SubmitError::Rejected(Rejection::Stale { .. } | Rejection::NotFound(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn system_key(
    vault: &EnvelopeSealer,
    name: &Slug,
    sealed: &SealedBlob,
    expected: Revision,
) -> Option<Command> {
    let sealed = reseal(vault, &super::encryption_context(name.as_str()), sealed)?;
    let name = name.clone();
    Some(Command::ResealSystemKey {
        name,
        sealed,
        expected,
    })
}

fn credential(vault: &EnvelopeSealer, stored: &Credential, expected: Revision) -> Option<Command> {
    let mut changed = false;
    let mut values = sealed_credential_fields(stored).into_iter().map(|field| {
        let again = reseal(vault, &field.context, field.value);
        changed |= again.is_some();
        again.unwrap_or_else(|| field.value.clone())
    });
    let mut kind = stored.kind.clone();
    match &mut kind {
        CredentialKind::StaticHeader { header: _, value } => *value = values.next()?,
        CredentialKind::RequestFields(fields) => {
            for (field, value) in fields.iter_mut().zip(&mut values) {
                field.value = value;
            }
        }
    }
    drop(values);
    if !changed {
        return None;
    }
    let object = OperatorObject::from(Credential {
        kind,
        ..stored.clone()
    });
    Some(Command::Update { object, expected })
}

/// Seals a value under the newest key; `None` if it already is, or if it does not open.
fn reseal(
    vault: &EnvelopeSealer,
    context: &EncryptionContext,
    sealed: &SealedBlob,
) -> Option<SealedBlob> {
    if !vault.needs_reseal(sealed) {
        return None;
    }
    let again = || -> Result<SealedBlob, SealError> {
        let opened = vault.open_secret(context, sealed)?;
        vault.seal_secret(context, (*opened).as_ref())
    };
    let (org, kind, id) = (&context.org, context.kind, &context.id);
    again()
        .inspect_err(|error| tracing::warn!(%org, kind, %id, %error, "cannot be sealed anew"))
        .ok()
}
