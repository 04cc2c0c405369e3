//! What an empty store needs before anybody can use it: an epoch, an organization, and a first admin token. Safe to
//! repeat, and safe when several control planes start at once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use toolgate_api::SubmitError;
use toolgate_control_core::{Command, Context, Key, Rejection, State, command::Desired};
use toolgate_model::{AdminRole, Meta, Name, Organization, Reach, Slug, Subject, Token};
use toolgate_runtime::random;
use toolgate_vault::{MintedToken, Minter};
use zeroize::Zeroizing;

use crate::spine::Writer;

/// Whether there is a token to start with.
#[derive(Debug)]
pub enum FirstToken {
    /// Just made; it is in the file.
    Created,
    /// The one in the file works.
    Kept,
    /// There is one, but not in our file: another control plane made it, or the file was lost.
    Elsewhere,
}

/// Why the store cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store or the core refused.
    #[error("cannot prepare the store: {0}")]
    Submit(#[from] SubmitError),
    /// The file cannot be written.
    #[error("cannot keep the admin token in {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Largest token file.
const FILE_LIMIT: u64 = 4096;
/// Files left behind by starts that were cut off; more are not looked at.
const LEFT_BEHIND: usize = 16;

/// The first epoch, and an organization to begin with.
pub(crate) async fn prepare(writer: &Writer, organization: &Slug) -> Result<(), BootstrapError> {
    let begun = |state: &State| state.epoch() > 0;
    let first = writer
        .write_unless(begun, &Command::BumpEpoch, &context(writer))
        .await?;
    let seen = first.map_or(0, |outcome| outcome.revision);
    if writer.state_at(seen).await.organizations.is_empty() {
        let meta = Meta {
            display_name: organization.to_string(),
            ..Meta::default()
        };
        let organization = Organization {
            id: organization.clone(),
            meta,
        };
        let create = Command::Create(Desired::Organization(organization));
        tolerate_existing(writer.write(&create, &context(writer)).await)?;
    }
    Ok(())
}

/// Another epoch, after the store has been restored from a copy: its number.
pub(crate) async fn new_epoch(writer: &Writer) -> Result<u64, BootstrapError> {
    let outcome = writer.write(&Command::BumpEpoch, &context(writer)).await?;
    Ok(writer.state_at(outcome.revision).await.epoch())
}

/// A token that may do everything, in the file at `path`. With `reset`, a lost one is replaced, and no longer works.
pub(crate) async fn first_token(
    writer: &Writer,
    minter: &Minter,
    organization: &Slug,
    path: &Path,
    reset: bool,
) -> Result<FirstToken, BootstrapError> {
    let state = writer.current();
    let works = |file: &Path| {
        let secret = read(file);
        let hash = secret.map(|secret| minter.hash(secret.trim()));
        let token = hash.and_then(|hash| state.token_by_hash(&hash));
        token.is_some_and(|token| token.revoked.is_none())
    };
    if works(path) {
        return Ok(FirstToken::Kept);
    }
    let failed = |source| BootstrapError::File {
        path: path.into(),
        source,
    };
    // A start that was cut off after its token had been written.
    if let Some(left) = beside(path).into_iter().find(|file| works(file)) {
        fs::rename(left, path).map_err(failed)?;
        return Ok(FirstToken::Kept);
    }
    let lost = live_system_tokens(&state);
    if !lost.is_empty() && !reset {
        return Ok(FirstToken::Elsewhere);
    }
    let minted = minter.mint();
    // Beside its place first: a crash in between leaves a token that the next start finds there. The other way round
    // would leave one that works and that nobody has.
    let kept = write_beside(path, &minted.secret).map_err(failed)?;
    let token = system_token(&state, organization, &minted);
    let create = Command::Create(Desired::Token(token));
    let mut seen = match writer.write(&create, &context(writer)).await {
        Ok(outcome) => outcome.revision,
        // Another control plane that starts at the same time was first.
        Err(SubmitError::Rejected(Rejection::AlreadyExists(_))) => {
            fs::remove_file(&kept).map_err(failed)?;
            return Ok(FirstToken::Elsewhere);
        }
        Err(error) => return Err(error.into()),
    };
    put_in_place(&kept, path).map_err(failed)?;
    for name in lost {
        let revoke = Command::RevokeToken(name);
        seen = writer.write(&revoke, &context(writer)).await?.revision;
    }
    writer.state_at(seen).await;
    Ok(FirstToken::Created)
}

fn context(writer: &Writer) -> Context {
    Context {
        now: writer.clock.now(),
        author: "system".to_owned(),
        request: None,
    }
}

fn tolerate_existing<T>(outcome: Result<T, SubmitError>) -> Result<(), SubmitError> {
    match outcome {
        Ok(_) | Err(SubmitError::Rejected(Rejection::AlreadyExists(_))) => Ok(()),
        Err(error) => Err(error),
    }
}

fn live_system_tokens(state: &Arc<State>) -> Vec<Name> {
    let tokens = state.tokens.iter();
    let live = tokens.filter(|(_, token)| token.system && token.revoked.is_none());
    live.map(|(name, _)| name.clone()).collect()
}

/// What the first token is called, so that two control planes that start at once cannot both make one.
const FIRST: &str = "bootstrap";

fn system_token(state: &State, organization: &Slug, minted: &MintedToken) -> Token {
    // Always valid: letters, then hexadecimal digits.
    let named = |id: String| {
        let id = id.parse().unwrap_or_else(|_| organization.clone());
        Name::new(organization.clone(), id)
    };
    let mut name = named(FIRST.to_owned());
    if state.modified_at(&Key::Token(name.clone())).is_some() {
        name = named(format!("{FIRST}-{}", suffix()));
    }
    Token {
        name,
        meta: Meta {
            display_name: "Bootstrap token".into(),
            ..Meta::default()
        },
        scope: Subject::Organization,
        // It administers; it calls no tools.
        gateways: Reach::Only(Vec::new()),
        tools: Reach::Only(Vec::new()),
        expires: None,
        role: AdminRole::Admin,
        hash: minted.hash,
        revoked: None,
        hint: minted.hint.clone(),
        system: true,
    }
}

fn read(path: &Path) -> Option<Zeroizing<String>> {
    let small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= FILE_LIMIT);
    small.then(|| fs::read_to_string(path).ok().map(Zeroizing::new))?
}

fn suffix() -> String {
    let bytes: [u8; 4] = random::bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What files beside the token file begin with.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(format!("{name}.new-"))
}

fn folder(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

/// Token files that have not been put in place.
fn beside(path: &Path) -> Vec<PathBuf> {
    let (Some(stem), Ok(entries)) = (stem(path), fs::read_dir(folder(path))) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.path());
    let fits = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&stem))
    };
    names.filter(fits).take(LEFT_BEHIND).collect()
}

/// A file of our own, whoever else starts in this folder; readable by its owner alone from the first byte.
fn write_beside(path: &Path, secret: &str) -> io::Result<PathBuf> {
    let stem = stem(path).ok_or(io::ErrorKind::InvalidInput)?;
    let beside = folder(path).join(format!("{stem}{}", suffix()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(secret.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(beside)
}

/// Whole or not at all.
fn put_in_place(kept: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(kept, path) {
        // Another start found it and put it in place.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
        renamed => renamed?,
    }
    File::open(folder(path))?.sync_all()
}
