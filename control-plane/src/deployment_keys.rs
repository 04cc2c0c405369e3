//! Keys of a deployment: for token hashes, for sealed ids, and of the certificate authority. They are sealed in the
//! store. The first control plane creates them; other control planes and later starts read them.

use std::sync::Arc;

use toolgate_control_core::{
    Command, CommandAuthor, CommandContext, ObjectKey, Rejection, StoreState,
    port::{EncryptionContext, SealError, SecretSealer, SubmitError, sealed_credential_fields},
};
use toolgate_model::{SealedBlob, Slug};
use toolgate_runtime::random;
use toolgate_vault::{
    AuthorityError, EnvelopeSealer, LocalAuthority, SerializedAuthority, TokenMinter,
};
use toolgate_wire::keys::ClientStateKey;
use zeroize::Zeroizing;

use crate::write_path::StoreWriter;

pub(crate) mod key_rotation;

/// Opened keys of the deployment.
pub struct DeploymentKeys {
    /// Creates and hashes tokens.
    pub(crate) token_minter: TokenMinter,
    /// Keys for sealed ids, newest first.
    pub(crate) seal: Vec<ClientStateKey>,
    /// Certificate authority of the deployment.
    pub(crate) authority: Arc<LocalAuthority>,
}

/// Error of the deployment's keys.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentKeysError {
    /// A key cannot be opened.
    #[error("the deployment's key `{name}` cannot be opened: {error}")]
    Sealed {
        /// Name of the key.
        name: &'static str,
        /// Error of the vault.
        error: SealError,
    },
    /// A key was opened but is malformed.
    #[error("the deployment's key `{0}` is damaged; restore the store from a backup")]
    Damaged(&'static str),
    /// The entry of a key in the store cannot be read.
    #[error(
        "the deployment's key `{name}` is in the store but cannot be read: {reason}; if another version wrote it, start \
         that version, otherwise restore the store from a backup"
    )]
    Unreadable {
        /// Name of the key.
        name: &'static str,
        /// Reason, without any of the content.
        reason: String,
    },
    /// The store has a key that this control plane is not shown.
    #[error(
        "the deployment's key `{0}` is in the store, but neither a listing nor the watch shows it; check that all members \
         of the store are up, then start again"
    )]
    NotVisible(&'static str),
    /// The keys cannot be stored.
    #[error("the deployment's keys cannot be stored: {0}")]
    Store(#[from] SubmitError),
    /// The certificate authority cannot be created or used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

const TOKENS: &str = "tokens";
const SEAL: &str = "seal-1";
const AUTHORITY: &str = "authority";
const SEAL_EPOCH: u32 = 1;

/// Attempts to read a key that another control plane created. Each waits for the state to catch up with the store.
const READ_ATTEMPTS: u32 = 40;

impl DeploymentKeys {
    /// Opens the keys in the store and creates missing ones.
    pub(crate) async fn open_or_create(
        writer: &StoreWriter,
        vault: &EnvelopeSealer,
        token_prefix: &str,
    ) -> Result<Self, DeploymentKeysError> {
        let fresh = || Ok(Zeroizing::new(random::bytes::<32>().to_vec()));
        let tokens = open_or_create_key(writer, vault, TOKENS, fresh).await?;
        let seal = open_or_create_key(writer, vault, SEAL, fresh).await?;
        let create = || {
            Ok(encode_authority(&LocalAuthority::create(
                writer.clock.now(),
            )?))
        };
        let authority = open_or_create_key(writer, vault, AUTHORITY, create).await?;
        let authority =
            decode_authority(&authority).ok_or(DeploymentKeysError::Damaged(AUTHORITY))?;
        let seal_key = Zeroizing::new(array(&seal, SEAL)?);
        Ok(Self {
            token_minter: TokenMinter::new(token_prefix, array(&tokens, TOKENS)?),
            seal: vec![ClientStateKey {
                epoch: SEAL_EPOCH,
                key: seal_key,
            }],
            authority: Arc::new(LocalAuthority::open(&authority)?),
        })
    }
}

/// Names one object in the store that the key file has to open; `None` if nothing is sealed.
pub(crate) fn first_sealed(state: &StoreState) -> Option<String> {
    let keys = [TOKENS, SEAL, AUTHORITY].into_iter();
    // Includes a key that cannot be read.
    let mut there = keys.filter(|name| {
        let key = name.parse().map(ObjectKey::SystemKey);
        key.is_ok_and(|key| state.mod_revision_at(&key).is_some())
    });
    let key = there.next().map(|name| format!("the key `{name}`"));
    let credential = || state.credentials.iter().next();
    key.or_else(|| credential().map(|(name, _)| format!("the credential {name}")))
}

/// Names one object in the store that the key file does not open. Credentials are checked only while the deployment has
/// no key. Once it has, a credential that does not open is a problem of that credential alone.
pub(crate) fn first_unopenable(state: &StoreState, vault: &EnvelopeSealer) -> Option<String> {
    let opens = |context: &EncryptionContext, sealed: &SealedBlob| {
        vault.open_secret(context, sealed).is_ok()
    };
    let mut keys = state.system_keys.iter().peekable();
    if keys.peek().is_some() {
        let mut closed =
            keys.filter(|(name, sealed)| !opens(&encryption_context(name.as_str()), sealed));
        return closed.next().map(|(name, _)| format!("the key `{name}`"));
    }
    let mut credentials = state.credentials.iter();
    let closed = credentials.find(|(_, credential)| {
        let mut fields = sealed_credential_fields(credential).into_iter();
        fields.any(|field| !opens(&field.context, field.value))
    });
    closed.map(|(name, _)| format!("the credential {name}"))
}

/// Opens the key `name`; creates it with `create` and stores it if it is missing. If two control planes start at once,
/// the second one reads the key of the first.
async fn open_or_create_key(
    writer: &StoreWriter,
    vault: &EnvelopeSealer,
    name: &'static str,
    create: impl Fn() -> Result<Zeroizing<Vec<u8>>, DeploymentKeysError>,
) -> Result<Zeroizing<Vec<u8>>, DeploymentKeysError> {
    let slug: Slug = name
        .parse()
        .map_err(|_| DeploymentKeysError::Damaged(name))?;
    let mut seen = 0;
    for _attempt in 0..READ_ATTEMPTS {
        let state = writer.state_at(seen).await;
        if let Some(sealed) = stored(&state, name, &slug)? {
            let opened = vault.open_secret(&encryption_context(name), &sealed);
            let opened = opened.map_err(|error| DeploymentKeysError::Sealed { name, error })?;
            return Ok(Zeroizing::new((*opened).as_ref().to_vec()));
        }
        let sealed = vault.seal_secret(&encryption_context(name), &create()?);
        let sealed = sealed.map_err(|error| DeploymentKeysError::Sealed { name, error })?;
        let command = Command::CreateSystemKey {
            name: slug.clone(),
            sealed,
        };
        let now = writer.clock.now();
        let context = CommandContext {
            now,
            author: CommandAuthor::SYSTEM,
            request: None,
        };
        match writer.write(&command, &context).await {
            Ok(outcome) => seen = outcome.revision,
            Err(SubmitError::Rejected(Rejection::AlreadyExists(_))) => {
                tracing::info!(
                    key = name,
                    "another control plane created the key; reading it"
                );
                seen = state.revision() + 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(DeploymentKeysError::NotVisible(name))
}

/// Returns the stored key; fails if its entry exists but cannot be read, because a new key would void all tokens.
fn stored(
    state: &StoreState,
    name: &'static str,
    slug: &Slug,
) -> Result<Option<SealedBlob>, DeploymentKeysError> {
    if let Some(stored) = state.system_keys.get(slug) {
        return Ok(Some((*stored.object).clone()));
    }
    match state.quarantined(&ObjectKey::SystemKey(slug.clone())) {
        Some(quarantined) => Err(DeploymentKeysError::Unreadable {
            name,
            reason: quarantined.reason.clone(),
        }),
        None => Ok(None),
    }
}

/// Returns the encryption context of a key of the deployment.
pub(crate) fn encryption_context(name: &str) -> EncryptionContext {
    EncryptionContext {
        org: "_system".into(),
        kind: "key",
        id: name.to_owned(),
        field: "value".into(),
    }
}

fn array(bytes: &[u8], name: &'static str) -> Result<[u8; 32], DeploymentKeysError> {
    bytes
        .try_into()
        .map_err(|_| DeploymentKeysError::Damaged(name))
}

/// Format: length of the certificate (32 bits, big-endian), certificate, private key.
fn encode_authority(authority: &SerializedAuthority) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(authority.certificate.len()).unwrap_or_default();
    let parts = [
        &length.to_be_bytes(),
        authority.certificate.as_slice(),
        &authority.key,
    ];
    Zeroizing::new(parts.concat())
}

fn decode_authority(bytes: &[u8]) -> Option<SerializedAuthority> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (certificate, key) = rest.split_at_checked(length)?;
    Some(SerializedAuthority {
        certificate: certificate.to_vec(),
        key: Zeroizing::new(key.to_vec()),
    })
}

#[cfg(test)]
mod tests;
