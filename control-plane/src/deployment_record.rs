//! Record in the data folder that a control plane has served a deployment, and up to which change. With the record, a store
//! that is empty although it held a deployment is told from the store of a new deployment, and an older copy that was
//! restored from the store that the control plane has served.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use toolgate_control_core::{ObjectKey, Revision, StoreState, port::PublishedState};
use toolgate_runtime::random;

use crate::write_path::StoreWriter;

#[cfg(test)]
mod tests;

/// Maximum size of the record, in bytes.
const MAX_RECORD_BYTES: u64 = 4096;
/// Word before the epoch in the record.
const EPOCH: &str = "epoch";
/// Word before the revision in the record.
const REVISION: &str = "revision";
/// Time between a change and its record, in which later ones are waited for.
const RECORD_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which an empty store is watched if nothing but the key file is evidence: another control plane with the same
/// key file may just be creating the deployment.
const KEY_FILE_WAIT: Duration = Duration::from_secs(2);

/// Files that tell whether a control plane has served a deployment before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeploymentFiles<'a> {
    pub(crate) record: &'a Path,
    pub(crate) admin_token: &'a Path,
    pub(crate) key: &'a Path,
}

/// Evidence of an earlier deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EarlierDeployment {
    /// File that is the evidence.
    pub(crate) file: PathBuf,
    /// Latest change that this control plane has served; zero if it is not known.
    pub(crate) latest: LatestChange,
    /// True if the file is the key file, which control planes can share.
    is_key_file: bool,
}

/// Change of a deployment: the epoch, and the store revision of its version marker. Ordered in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LatestChange {
    pub(crate) epoch: u64,
    pub(crate) revision: Revision,
}

impl LatestChange {
    /// Returns the latest change in a state.
    pub(crate) fn of(state: &StoreState) -> Self {
        Self {
            epoch: state.epoch(),
            revision: state
                .mod_revision_at(&ObjectKey::Marker)
                .unwrap_or_default(),
        }
    }
}

impl fmt::Display for LatestChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

/// Record that cannot be read, or that no control plane has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UnreadableRecord;

/// Error of a start on a store that lacks changes which this control plane has served.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store ends with change {found}, and the file {} shows that change {recorded} was served: the store was restored \
     from an older copy, or `--etcd`, `--etcd-prefix` or `--data-dir` names another place than before. Correct that \
     setting, or start once with `--new-epoch` to adopt the store as it is: tokens that were revoked after the copy was \
     made would come back to life otherwise", .file.display()
)]
pub struct OlderStoreError {
    /// File that shows the later change.
    pub file: PathBuf,
    found: LatestChange,
    recorded: LatestChange,
}

/// Error of a start on an empty store.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store is empty, but the file {} shows that there was a deployment: the store was lost, or `--etcd`, \
     `--etcd-prefix` or `--data-dir` names another place than before. Correct that setting, or restore the store from a \
     backup and start with `--new-epoch`. To begin a new deployment without the objects, keys and tokens of the earlier \
     one, start once with `--new-deployment`", .file.display()
)]
pub struct EmptyStoreError {
    /// File that shows the earlier deployment.
    pub file: PathBuf,
}

impl DeploymentFiles<'_> {
    /// Looks for evidence of an earlier deployment. To be called before the store is read: a control plane that starts in
    /// the same folder at the same time writes the evidence after it has prepared the store.
    pub(crate) fn earlier(&self) -> Option<EarlierDeployment> {
        // A start that creates the key file writes the record before it.
        let has_key_file = self.key.exists();
        let recorded = self.recorded();
        let found = |file: &Path, is_key_file| {
            Some(EarlierDeployment {
                file: file.to_owned(),
                latest: recorded.and_then(Result::ok).unwrap_or_default(),
                is_key_file,
            })
        };
        match recorded {
            Some(Ok(latest)) if latest.epoch > 0 => found(self.record, false),
            _ if self.admin_token.exists() => found(self.admin_token, false),
            // A start that was interrupted before it created the key file leaves nothing worth keeping.
            Some(Err(UnreadableRecord)) if has_key_file => found(self.record, false),
            None if has_key_file => found(self.key, true),
            // The first start was interrupted.
            Some(_) | None => None,
        }
    }

    /// Returns the change in the record, zero if the first start has begun; `None` if there is no record.
    fn recorded(&self) -> Option<Result<LatestChange, UnreadableRecord>> {
        let mut text = String::new();
        match File::open(self.record) {
            Ok(file) => {
                let _unreadable = file.take(MAX_RECORD_BYTES).read_to_string(&mut text);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => return Some(Err(UnreadableRecord)),
        }
        let number = |name| {
            let mut words = text.split_whitespace();
            words.find(|word| *word == name).and(words.next())
        };
        let Some(epoch) = number(EPOCH).and_then(|it| it.parse().ok()) else {
            return Some(Err(UnreadableRecord));
        };
        // Absent in records of builds that recorded the epoch alone.
        let revision = number(REVISION).and_then(|it| it.parse().ok());
        let revision = revision.unwrap_or_default();
        Some(Ok(LatestChange { epoch, revision }))
    }

    /// Notes that a new deployment is about to begin, so that the key file that is created next is no evidence if the
    /// start is interrupted.
    pub(crate) fn note_beginning(&self) {
        let text = record_text(LatestChange::default());
        match write_new(self.record, &text) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => self.warn(&error),
            Ok(()) | Err(_) => {}
        }
    }

    /// Notes the latest change of the deployment that has been served.
    pub(crate) fn note(&self, latest: LatestChange) {
        if self.recorded() == Some(Ok(latest)) {
            return;
        }
        if let Err(error) = replace(self.record, &record_text(latest)) {
            self.warn(&error);
        }
    }

    fn warn(&self, error: &io::Error) {
        tracing::warn!(
            file = %self.record.display(),
            %error,
            "cannot note the deployment; a lost or restored store may not be noticed at the next start"
        );
    }
}

/// Returns `true` if a new deployment begins. Fails if the store is empty although there was a deployment.
pub(crate) async fn begins_new(
    writer: &StoreWriter,
    earlier: Option<&EarlierDeployment>,
    is_new: bool,
) -> Result<bool, EmptyStoreError> {
    if !is_empty(&writer.current()) {
        if is_new {
            tracing::warn!("the store holds a deployment: `--new-deployment` has no effect");
        }
        return Ok(false);
    }
    let Some(earlier) = earlier else {
        return Ok(true);
    };
    let file = earlier.file.clone();
    if is_new {
        tracing::warn!(file = %file.display(), "a new deployment begins, in place of an earlier one");
        return Ok(true);
    }
    if earlier.is_key_file && is_filled_within(writer, KEY_FILE_WAIT).await {
        return Ok(false);
    }
    Err(EmptyStoreError { file })
}

/// Fails if the store lacks changes that this control plane has served.
pub(crate) fn check_not_older(
    state: &StoreState,
    earlier: Option<&EarlierDeployment>,
) -> Result<(), OlderStoreError> {
    let found = LatestChange::of(state);
    match earlier {
        Some(earlier) if found < earlier.latest => Err(OlderStoreError {
            file: earlier.file.clone(),
            found,
            recorded: earlier.latest,
        }),
        Some(_) | None => Ok(()),
    }
}

/// Records the changes that are served from now on in the file at `record`, some seconds after each, and the last one when
/// `draining` completes.
pub(crate) async fn follow(
    record: PathBuf,
    mut published: watch::Receiver<Arc<PublishedState>>,
    draining: impl Future<Output = ()>,
) {
    let mut draining = pin!(draining);
    let mut noted = LatestChange::of(&published.borrow_and_update().state);
    loop {
        let is_ending = tokio::select! {
            changed = published.changed() => changed.is_err(),
            () = &mut draining => true,
        };
        let is_ending = is_ending
            || tokio::select! {
                () = sleep(RECORD_INTERVAL) => false,
                () = &mut draining => true,
            };
        let latest = LatestChange::of(&published.borrow_and_update().state);
        if latest > noted {
            noted = latest;
            let record = record.clone();
            let _ended = spawn_blocking(move || {
                if let Err(error) = replace(&record, &record_text(latest)) {
                    tracing::debug!(file = %record.display(), %error, "cannot note the latest change");
                }
            })
            .await;
        }
        if is_ending {
            return;
        }
    }
}

async fn is_filled_within(writer: &StoreWriter, limit: Duration) -> bool {
    let mut published = writer.published.clone();
    let filled = published.wait_for(|published| !is_empty(&published.state));
    matches!(timeout(limit, filled).await, Ok(Ok(_)))
}

/// Returns `true` if no control plane has written to the store, not even an entry that cannot be read.
fn is_empty(state: &StoreState) -> bool {
    state.epoch() == 0 && state.mod_revision_at(&ObjectKey::Marker).is_none()
}

fn record_text(latest: LatestChange) -> String {
    let LatestChange { epoch, revision } = latest;
    format!(
        "# Written by the control plane: a deployment was served from this folder, up to this change.\n\
         {EPOCH} {epoch}\n{REVISION} {revision}\n"
    )
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".new-{}", random::id()));
    let temporary = Path::new(&temporary);
    let replaced = write_new(temporary, text).and_then(|()| fs::rename(temporary, path));
    if replaced.is_err() {
        let _absent = fs::remove_file(temporary);
    }
    replaced
}
