//! Preparation of an empty store: an epoch, an organization and a first admin token. Idempotent, and safe when several
//! control planes start at once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use toolgate_control_core::{
    Command, CommandAuthor, CommandContext, Rejection, Revision, StateKind as _, StoreState,
    port::SubmitError,
};
use toolgate_model::{
    AdminRole, AllowList, ObjectMeta, ObjectName, Organization, Slug, Timestamp, Token,
    TokenSubject,
};
use toolgate_runtime::random;
use toolgate_vault::{MintedToken, TokenMinter};
use zeroize::Zeroizing;

use crate::write_path::StoreWriter;

/// State of the first admin token.
#[derive(Debug)]
pub enum FirstToken {
    /// The token was created and is in the file.
    Created,
    /// The token in the file is valid.
    Kept,
    /// A token exists, but not in the file: another control plane created it, or the file was lost.
    Elsewhere,
}

/// Error of the preparation.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store or the core rejected a command.
    #[error("cannot prepare the store: {0}")]
    Submit(#[from] SubmitError),
    /// The token file cannot be written.
    #[error("cannot keep the admin token in {path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// I/O error.
        source: io::Error,
    },
}

/// Maximum size of the token file, in bytes.
const MAX_TOKEN_FILE_BYTES: u64 = 4096;
/// Maximum number of pending token files, left behind by interrupted starts, that are checked.
const MAX_PENDING_FILES: usize = 16;
/// Maximum number of epochs that a start catches up with.
const MAX_EPOCH_STEPS: u64 = 1000;

/// Creates the first epoch and the first organization if the store has none. The first epoch is later than
/// `earlier_epoch`, the last one of an earlier deployment: proxies that have seen it follow later epochs only.
pub(crate) async fn prepare(
    writer: &StoreWriter,
    organization: &Slug,
    earlier_epoch: u64,
) -> Result<(), BootstrapError> {
    let mut seen = 0;
    if writer.current().epoch() == 0 {
        seen = start_epoch_after(writer, earlier_epoch).await?;
    }
    if writer.state_at(seen).await.organizations.is_empty() {
        let meta = ObjectMeta {
            display_name: organization.to_string(),
            ..ObjectMeta::default()
        };
        let organization = Organization {
            id: organization.clone(),
            meta,
            rate_limits: Vec::new(),
        };
        let create = Command::Create(organization.into());
        tolerate_existing(writer.write(&create, &context(writer)).await)?;
    }
    Ok(())
}

/// Starts epochs until one is later than `earlier`, unless another control plane does. Returns the revision of the last one.
async fn start_epoch_after(writer: &StoreWriter, earlier: u64) -> Result<Revision, BootstrapError> {
    let mut seen = 0;
    for epoch in 1..=earlier.min(MAX_EPOCH_STEPS) + 1 {
        let is_reached = |state: &StoreState| state.epoch() >= epoch;
        let started = writer
            .write_unless(is_reached, &Command::BumpEpoch, &context(writer))
            .await?;
        seen = started.map_or(seen, |outcome| outcome.revision);
    }
    Ok(seen)
}

/// Starts a new epoch, after the store has been restored from a copy. The copy may be from before an earlier restore: the
/// new epoch is also later than `earlier_epoch`, the latest epoch known to this control plane. Returns its number.
pub(crate) async fn new_epoch(
    writer: &StoreWriter,
    earlier_epoch: u64,
) -> Result<u64, BootstrapError> {
    let outcome = writer.write(&Command::BumpEpoch, &context(writer)).await?;
    let seen = start_epoch_after(writer, earlier_epoch).await?;
    let seen = seen.max(outcome.revision);
    Ok(writer.state_at(seen).await.epoch())
}

/// Ends the rejection of the proxy of this process, which serves nothing without it.
pub(crate) async fn admit(writer: &StoreWriter, proxy: &Slug) -> Result<(), BootstrapError> {
    if !writer.current().expelled.contains(proxy) {
        return Ok(());
    }
    let admit = Command::AdmitProxy(proxy.clone());
    match writer.write(&admit, &context(writer)).await {
        Ok(outcome) => {
            writer.state_at(outcome.revision).await;
            tracing::warn!(%proxy, "the proxy of this process was deleted; it is admitted again");
            Ok(())
        }
        // Its record has expired meanwhile.
        Err(SubmitError::Rejected(Rejection::NotFound(_))) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ensures an admin token of the system in the file at `path`. With `reset`, a lost token is replaced and revoked.
pub(crate) async fn first_token(
    writer: &StoreWriter,
    token_minter: &TokenMinter,
    organization: &Slug,
    path: &Path,
    reset: bool,
) -> Result<FirstToken, BootstrapError> {
    let (state, now) = (writer.current(), writer.clock.now());
    let works = |file: &Path| token_in(file, token_minter, &state, now).is_some();
    if works(path) {
        return Ok(FirstToken::Kept);
    }
    let failed = |source| BootstrapError::File {
        path: path.into(),
        source,
    };
    // An earlier start was interrupted after it had created its token.
    if let Some(pending) = pending_files(path).into_iter().find(|file| works(file)) {
        fs::rename(pending, path).map_err(failed)?;
        return Ok(FirstToken::Kept);
    }
    let live_tokens = live_system_tokens(&state, now);
    if !live_tokens.is_empty() && !reset {
        return Ok(FirstToken::Elsewhere);
    }
    let minted = token_minter.mint();
    // The file is written under its pending name before the token is created. After a crash in between, the next start
    // finds the token there. In the opposite order, a crash would leave a valid token whose secret is lost.
    let kept = write_pending(path, &minted.secret).map_err(failed)?;
    let token = system_token(&state, organization, &minted);
    let create = Command::Create(token.into());
    let mut seen = match writer.write(&create, &context(writer)).await {
        Ok(outcome) => outcome.revision,
        // Another control plane created its token first.
        Err(SubmitError::Rejected(Rejection::AlreadyExists(_))) => {
            fs::remove_file(&kept).map_err(failed)?;
            return Ok(FirstToken::Elsewhere);
        }
        Err(error) => return Err(error.into()),
    };
    install(&kept, path).map_err(failed)?;
    for name in live_tokens {
        let revoke = Command::RevokeToken(name);
        seen = writer.write(&revoke, &context(writer)).await?.revision;
    }
    writer.state_at(seen).await;
    Ok(FirstToken::Created)
}

/// Returns the name of the token in the file, if it works.
pub(crate) fn token_in(
    file: &Path,
    token_minter: &TokenMinter,
    state: &StoreState,
    now: Timestamp,
) -> Option<ObjectName> {
    let secret = read(file)?;
    let token = state.token_by_hash(&token_minter.hash(secret.trim()))?;
    is_valid(token, now).then(|| token.name.clone())
}

fn is_valid(token: &Token, now: Timestamp) -> bool {
    token.revoked.is_none() && token.expires.is_none_or(|at| at > now)
}

pub(crate) fn context(writer: &StoreWriter) -> CommandContext {
    CommandContext {
        now: writer.clock.now(),
        author: CommandAuthor::SYSTEM,
        request: None,
    }
}

fn tolerate_existing<T>(outcome: Result<T, SubmitError>) -> Result<(), SubmitError> {
    match outcome {
        Ok(_) | Err(SubmitError::Rejected(Rejection::AlreadyExists(_))) => Ok(()),
        Err(error) => Err(error),
    }
}

fn live_system_tokens(state: &Arc<StoreState>, now: Timestamp) -> Vec<ObjectName> {
    let tokens = state.tokens.iter();
    let live = tokens.filter(|(_, token)| token.system && is_valid(token, now));
    live.map(|(name, _)| name.clone()).collect()
}

/// Id of the first token. It is fixed, so that two control planes that start at once cannot both create one.
const FIRST_TOKEN_ID: &str = "bootstrap";

fn system_token(state: &StoreState, organization: &Slug, minted: &MintedToken) -> Token {
    // Always a valid slug: letters, a hyphen, then hexadecimal digits.
    let named = |id: String| {
        let id = id.parse().unwrap_or_else(|_| organization.clone());
        ObjectName::new(organization.clone(), id)
    };
    let mut name = named(FIRST_TOKEN_ID.to_owned());
    if state.mod_revision_at(&Token::key(name.clone())).is_some() {
        name = named(format!("{FIRST_TOKEN_ID}-{}", suffix()));
    }
    Token {
        name,
        meta: ObjectMeta {
            display_name: "Bootstrap token".into(),
            ..ObjectMeta::default()
        },
        gateway_uids: std::collections::BTreeMap::new(),
        scope: TokenSubject::Organization,
        // The token is for administration only and may call no tools.
        gateways: AllowList::Only(Vec::new()),
        tools: AllowList::Only(Vec::new()),
        expires: None,
        role: AdminRole::Admin,
        rate_limits: Vec::new(),
        hash: minted.hash,
        revoked: None,
        hint: minted.hint.clone(),
        system: true,
    }
}

fn read(path: &Path) -> Option<Zeroizing<String>> {
    let small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= MAX_TOKEN_FILE_BYTES);
    small.then(|| fs::read_to_string(path).ok().map(Zeroizing::new))?
}

fn suffix() -> String {
    let bytes: [u8; 4] = random::bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the prefix of the names of pending token files.
fn pending_prefix(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(format!("{name}.new-"))
}

fn folder(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

/// Returns the pending token files beside `path`.
fn pending_files(path: &Path) -> Vec<PathBuf> {
    let (Some(stem), Ok(entries)) = (pending_prefix(path), fs::read_dir(folder(path))) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.path());
    let fits = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&stem))
    };
    names.filter(fits).take(MAX_PENDING_FILES).collect()
}

/// Writes a pending token file with a unique name, so that concurrent starts in the same folder do not collide. Only
/// the owner can read it, from the first byte on.
fn write_pending(path: &Path, secret: &str) -> io::Result<PathBuf> {
    let stem = pending_prefix(path).ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = folder(path).join(format!("{stem}{}", suffix()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(secret.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(temporary)
}

/// Renames the pending file to its final path, atomically.
fn install(kept: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(kept, path) {
        // Another start found the pending file and renamed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
        renamed => renamed?,
    }
    File::open(folder(path))?.sync_all()
}
