//! Record in the data folder that a control plane has served a deployment, and up to which change. With the record, a store
//! that is empty although it held a deployment is told from the store of a new deployment, and an older copy that was
//! restored from the store that the control plane has served.

use std::{
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
use toolgate_control_core::{
    ObjectKey, ServedChange, StoreRefusal, StoreState, port::PublishedState,
    store_history::continuity,
};
use toolgate_runtime::random;

use crate::write_path::StoreWriter;
use record_text::{RecordDamage, parse, record_text};

mod record_text;
#[cfg(test)]
mod tests;

/// Maximum size of the record, in bytes.
const MAX_RECORD_BYTES: u64 = 4096;
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
    /// Latest change that this control plane has served, of epoch 0 if it is not known; the error of a record that is
    /// damaged.
    pub(crate) latest: Result<ServedChange, DamagedRecordError>,
    /// True if the file is the key file, which control planes can share.
    is_key_file: bool,
}

/// Error of a start with a record that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file {}, which shows up to which change the store was served, is damaged: {damage}. Put the file back from a copy \
     that is not older than the store; or check that the store is the right one and no older copy, and start once with \
     `--new-epoch`, which writes the file anew", .file.display()
)]
pub struct DamagedRecordError {
    /// Path of the record.
    pub file: PathBuf,
    damage: RecordDamage,
}

/// Error of a start on a store that lacks changes which this control plane has served.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store is not what was served before, as the file {} shows: {refusal}. If `--etcd`, `--etcd-prefix` or `--data-dir` \
     names another place than before, correct that setting: with `--new-epoch`, the store is adopted as it is, and what was \
     withdrawn after the copy was made comes back", .file.display()
)]
pub struct OlderStoreError {
    /// File that shows what was served.
    pub file: PathBuf,
    /// Reason for which the store is not what was served.
    pub refusal: Box<StoreRefusal>,
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
        let latest = match &recorded {
            Some(recorded) => recorded.clone(),
            None => Ok(ServedChange::default()),
        };
        let is_damaged = latest.is_err();
        let found = |file: &Path, is_key_file| {
            Some(EarlierDeployment {
                file: file.to_owned(),
                latest,
                is_key_file,
            })
        };
        match recorded {
            Some(Ok(latest)) if latest.epoch > 0 => found(self.record, false),
            _ if is_damaged => found(self.record, false),
            _ if self.admin_token.exists() => found(self.admin_token, false),
            None if has_key_file => found(self.key, true),
            // The first start was interrupted.
            Some(_) | None => None,
        }
    }

    /// Returns the change in the record, of epoch 0 if the first start has begun; `None` if there is no record.
    fn recorded(&self) -> Option<Result<ServedChange, DamagedRecordError>> {
        let read = File::open(self.record).and_then(|file| {
            let mut text = String::new();
            file.take(MAX_RECORD_BYTES + 1).read_to_string(&mut text)?;
            Ok(text)
        });
        let read = match read {
            Ok(text) if text.len() as u64 > MAX_RECORD_BYTES => Err(RecordDamage::TooLong),
            Ok(text) => parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(RecordDamage::Unreadable(error.to_string())),
        };
        Some(read.map_err(|damage| DamagedRecordError {
            file: self.record.to_owned(),
            damage,
        }))
    }

    /// Notes that a new deployment is about to begin, so that the key file that is created next is no evidence if the
    /// start is interrupted.
    pub(crate) fn note_beginning(&self) {
        let text = record_text(&ServedChange::default());
        // A link appears as a whole, and replaces nothing.
        let place = |temporary: &Path, record: &Path| {
            let linked = fs::hard_link(temporary, record);
            linked.and_then(|()| fs::remove_file(temporary))
        };
        match write_then(self.record, &text, place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => self.warn(&error),
            Ok(()) | Err(_) => {}
        }
    }

    /// Notes the latest change of the deployment that has been served.
    pub(crate) fn note(&self, latest: ServedChange) {
        if self.recorded() == Some(Ok(latest)) {
            return;
        }
        if let Err(error) = replace(self.record, &record_text(&latest)) {
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

/// Fails if the store lacks changes that this control plane has served, as the file at `file` shows.
pub(crate) fn check_continues(
    state: &StoreState,
    served: &ServedChange,
    file: &Path,
) -> Result<(), OlderStoreError> {
    let checked = continuity(served, state);
    checked.map(drop).map_err(|refusal| OlderStoreError {
        file: file.to_owned(),
        refusal: Box::new(refusal),
    })
}

/// Records the changes that are served from now on in the file at `record`, some seconds after each, and the last one when
/// `draining` completes.
pub(crate) async fn follow(
    record: PathBuf,
    mut published: watch::Receiver<Arc<PublishedState>>,
    draining: impl Future<Output = ()>,
) {
    let mut draining = pin!(draining);
    let mut noted = ServedChange::of(&published.borrow_and_update().state);
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
        let latest = ServedChange::of(&published.borrow_and_update().state);
        if latest.is_after(&noted) {
            noted = latest;
            let record = record.clone();
            let _ended = spawn_blocking(move || {
                if let Err(error) = replace(&record, &record_text(&latest)) {
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

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    write_then(path, text, |temporary, path| fs::rename(temporary, path))
}

/// Writes a file beside `path`, and lets `place` put it there.
fn write_then(
    path: &Path,
    text: &str,
    place: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".new-{}", random::id()));
    let temporary = Path::new(&temporary);
    let placed = write_new(temporary, text).and_then(|()| place(temporary, path));
    if placed.is_err() {
        let _absent = fs::remove_file(temporary);
    }
    placed
}
