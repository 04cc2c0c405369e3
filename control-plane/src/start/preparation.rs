//! Preparation of the store at the start: an empty store becomes a deployment unless there was one before, and a restored store
//! is adopted on request.

use std::{path::Path, sync::Arc};

use toolgate_control_core::{ServedChange, StoreState, port::Store};
use toolgate_vault::{EnvelopeSealer, KeyEncryptionKeys, TokenMinter};

use super::{ControlPlaneContext, StartError, StartOptions, follow};
use crate::{
    bootstrap::{self, BootstrapError, FirstToken},
    deployment_keys::{self, DeploymentKeys, DeploymentKeysError},
    deployment_record::{self, DeploymentFiles},
    restored_access::{self, RestoredAccess},
    write_path::StoreWriter,
};

/// Number of epochs that are left out if the record of the deployment is damaged: proxies may know epochs that the store does not
/// have, and follow later ones only. Each restore begins one epoch.
const UNKNOWN_EPOCHS: u64 = 16;

/// Store that has been read and holds a deployment whose keys are open.
pub(super) struct PreparedStore {
    pub(super) writer: StoreWriter,
    pub(super) vault: Arc<EnvelopeSealer>,
    pub(super) keys: DeploymentKeys,
    pub(super) first_token: FirstToken,
    /// Access that was withdrawn, if the store was restored from a copy.
    pub(super) restored: Option<RestoredAccess>,
}

/// Follows the store and prepares it.
pub(super) async fn prepare(
    options: &StartOptions,
    store: Arc<dyn Store>,
    context: &ControlPlaneContext,
) -> Result<PreparedStore, StartError> {
    let key_file = options.key_file.as_deref();
    let files = options.deployment_files();
    let earlier = files.and_then(|files| files.earlier());
    let found = key_file
        .map(KeyEncryptionKeys::open_existing)
        .transpose()?
        .flatten();
    let writer = follow(store, context, options.local_proxy.is_some()).await?;
    let is_new = options.new_deployment;
    let begins = deployment_record::begins_new(&writer, earlier.as_ref(), is_new).await?;
    if let Some(earlier) = earlier.as_ref().filter(|_| !begins && !options.new_epoch) {
        let served = earlier.latest.clone()?;
        deployment_record::check_continues(&writer.current(), &served, &earlier.file)?;
    }
    if let Some(files) = files.filter(|_| begins) {
        files.note_beginning();
    }
    let vault = Arc::new(vault(&writer.current(), found, key_file)?);
    let earlier_epoch = match earlier.map(|earlier| earlier.latest) {
        Some(Ok(latest)) => latest.epoch,
        Some(Err(_damaged)) if options.new_epoch => {
            writer.current().epoch().saturating_add(UNKNOWN_EPOCHS)
        }
        Some(Err(_)) | None => 0,
    };
    bootstrap::prepare(&writer, &options.organization, earlier_epoch).await?;
    let keys = DeploymentKeys::open_or_create(&writer, &vault, &options.token_prefix).await;
    let keys = keys.map_err(|error| key_error(error, key_file))?;
    let (organization, file) = (&options.organization, &options.admin_token_file);
    // The token in the file may be younger than the copy that was restored.
    let reset = options.reset_admin_token || options.new_epoch;
    let first_token =
        bootstrap::first_token(&writer, &keys.token_minter, organization, file, reset).await?;
    let mut restored = match options.new_epoch {
        true => Some(adopt_restored(&writer, &keys.token_minter, file, earlier_epoch).await?),
        false => None,
    };
    if let Some(local) = &options.local_proxy {
        bootstrap::admit(&writer, local).await?;
        if let Some(access) = &mut restored {
            access.proxies.retain(|id| id != local);
        }
    }
    if let Some(files) = &files {
        files.note(ServedChange::of(&writer.current()));
    }
    Ok(PreparedStore {
        writer,
        vault,
        keys,
        first_token,
        restored,
    })
}

impl StartOptions {
    /// Returns the files that tell whether there was a deployment; `None` for a store that ends with the process.
    fn deployment_files(&self) -> Option<DeploymentFiles<'_>> {
        Some(DeploymentFiles {
            record: &self.deployment_file,
            admin_token: &self.admin_token_file,
            key: self.key_file.as_deref()?,
        })
    }
}

/// Opens the vault of this store. A new key file is created only if nothing in the store is sealed. Otherwise it could
/// open nothing, and would take the place of the lost file.
fn vault(
    state: &StoreState,
    found: Option<KeyEncryptionKeys>,
    key_file: Option<&Path>,
) -> Result<EnvelopeSealer, StartError> {
    let Some(path) = key_file else {
        return Ok(EnvelopeSealer::new(
            found.unwrap_or_else(KeyEncryptionKeys::ephemeral),
        ));
    };
    // Another control plane with the same folder creates the file before it seals anything, so the file is looked for
    // again.
    let found = found.map_or_else(
        || KeyEncryptionKeys::open_existing(path),
        |found| Ok(Some(found)),
    )?;
    let Some(keys) = found else {
        let path = path.to_owned();
        return match deployment_keys::first_sealed(state) {
            Some(sealed) => Err(StartError::KeyFileMissing { path, sealed }),
            None => Ok(EnvelopeSealer::new(KeyEncryptionKeys::open_or_create(
                &path,
            )?)),
        };
    };
    let vault = EnvelopeSealer::new(keys);
    match deployment_keys::first_unopenable(state, &vault) {
        Some(sealed) => Err(StartError::OtherKeyFile {
            path: path.to_owned(),
            sealed,
        }),
        None => Ok(vault),
    }
}

/// A key that does not open was sealed by a control plane that started at the same time with another key file.
fn key_error(error: DeploymentKeysError, key_file: Option<&Path>) -> StartError {
    match (error, key_file) {
        (DeploymentKeysError::Sealed { name, .. }, Some(path)) => StartError::OtherKeyFile {
            path: path.to_owned(),
            sealed: format!("the key `{name}`"),
        },
        (error, _) => StartError::Keys(error),
    }
}

/// Adopts a store that was restored from a copy: withdraws the access that the copy may have brought back, and then starts an
/// epoch, so that a start that is interrupted is repeated as a whole.
async fn adopt_restored(
    writer: &StoreWriter,
    token_minter: &TokenMinter,
    admin_token_file: &Path,
    earlier_epoch: u64,
) -> Result<RestoredAccess, BootstrapError> {
    let now = writer.clock.now();
    let kept = bootstrap::token_in(admin_token_file, token_minter, &writer.current(), now);
    let access = restored_access::withdraw(writer, kept.as_ref()).await?;
    for line in access.lines() {
        tracing::warn!("{line}");
    }
    let epoch = bootstrap::new_epoch(writer, earlier_epoch).await?;
    tracing::warn!(
        epoch,
        "a new epoch begins: proxies adopt what the store says now"
    );
    Ok(access)
}
