//! A newer key lies on top of the key file: what is sealed under an older one is sealed anew at the next start, so that
//! the older one can be taken out after that. Values change hands in memory only; a value that does not open stays as
//! it is and is named in the log. Two control planes that do this at once meet in the guards, and either is right.

use std::sync::Arc;

use toolgate_api::SubmitError;
use toolgate_control_core::{
    Command, Context, Desired, Rejection, Revision,
    port::{Seal as _, SealError, SealPlace},
};
use toolgate_model::{Credential, CredentialKind, Name, SealedBlob, Slug};
use toolgate_vault::Vault;

use crate::{keys, spine::Writer};

#[cfg(test)]
mod tests;

/// Seals anew all that is stale; says how much that was. Ends at the first failure of the store: the next start goes on.
pub(crate) async fn run(writer: Writer, vault: Arc<Vault>) -> Result<usize, SubmitError> {
    let state = writer.current();
    let mut commands = Vec::new();
    for (name, stored) in state.system_keys.iter() {
        commands.extend(system_key(&vault, name, &stored.object, stored.modified));
    }
    for (name, stored) in state.credentials.iter() {
        commands.extend(credential(&vault, name, stored, stored.modified));
    }
    let mut done = 0;
    for command in commands {
        let context = Context {
            now: writer.clock.now(),
            author: "system/reseal".to_owned(),
            request: None,
        };
        match writer.write(&command, &context).await {
            Ok(_) => done += 1,
            // Written or deleted meanwhile: nothing of it is stale any more.
            Err(SubmitError::Rejected(Rejection::Stale { .. } | Rejection::NotFound(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn system_key(
    vault: &Vault,
    name: &Slug,
    sealed: &SealedBlob,
    expected: Revision,
) -> Option<Command> {
    let sealed = anew(vault, &keys::place(name.as_str()), sealed)?;
    let name = name.clone();
    Some(Command::ResealSystemKey {
        name,
        sealed,
        expected,
    })
}

fn credential(
    vault: &Vault,
    name: &Name,
    stored: &Credential,
    expected: Revision,
) -> Option<Command> {
    let CredentialKind::StaticHeader { header, value } = &stored.kind;
    let value = anew(vault, &SealPlace::credential_value(name), value)?;
    let kind = CredentialKind::StaticHeader {
        header: header.clone(),
        value,
    };
    let object = Desired::Credential(Credential {
        kind,
        ..stored.clone()
    });
    Some(Command::Update { object, expected })
}

/// The same value under the newest key; nothing if it is under that one already, or does not open.
fn anew(vault: &Vault, place: &SealPlace, sealed: &SealedBlob) -> Option<SealedBlob> {
    if !vault.is_stale(sealed) {
        return None;
    }
    let again = || -> Result<SealedBlob, SealError> {
        let opened = vault.open(place, sealed)?;
        vault.seal(place, (*opened).as_ref())
    };
    let (org, kind, id) = (&place.org, place.kind, &place.id);
    again()
        .inspect_err(|error| tracing::warn!(%org, kind, %id, %error, "cannot be sealed anew"))
        .ok()
}
