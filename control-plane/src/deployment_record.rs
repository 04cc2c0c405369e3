//! Record in the data folder that a control plane has served a deployment. With the record, a store that is empty although
//! it held a deployment is told from the store of a new deployment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;
use toolgate_control_core::{ObjectKey, StoreState};
use toolgate_runtime::random;

use crate::write_path::StoreWriter;

#[cfg(test)]
mod tests;

/// Maximum size of the record, in bytes.
const MAX_RECORD_BYTES: u64 = 4096;
/// Word before the epoch in the record.
const EPOCH: &str = "epoch";
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
    /// Epoch of the deployment when this control plane started last; 0 if it is not known.
    pub(crate) epoch: u64,
    /// True if the file is the key file, which control planes can share.
    is_key_file: bool,
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
        let recorded = self.recorded_epoch();
        let found = |file: &Path, is_key_file| {
            Some(EarlierDeployment {
                file: file.to_owned(),
                epoch: recorded.unwrap_or_default(),
                is_key_file,
            })
        };
        match recorded {
            Some(1..) => found(self.record, false),
            _ if self.admin_token.exists() => found(self.admin_token, false),
            None if has_key_file => found(self.key, true),
            // The first start was interrupted.
            Some(0) | None => None,
        }
    }

    /// Returns the epoch in the record; 0 if the record cannot be read, and `None` if it does not exist.
    fn recorded_epoch(&self) -> Option<u64> {
        let mut text = String::new();
        match File::open(self.record) {
            Ok(file) => {
                let _unreadable = file.take(MAX_RECORD_BYTES).read_to_string(&mut text);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => return Some(0),
        }
        let mut words = text.split_whitespace();
        let epoch = words.find(|word| *word == EPOCH).and(words.next());
        Some(epoch.and_then(|it| it.parse().ok()).unwrap_or_default())
    }

    /// Notes that a new deployment is about to begin, so that the key file that is created next is no evidence if the
    /// start is interrupted.
    pub(crate) fn note_beginning(&self) {
        let text = record_text(0);
        match write_new(self.record, &text) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => self.warn(&error),
            Ok(()) | Err(_) => {}
        }
    }

    /// Notes that the deployment has reached `epoch`.
    pub(crate) fn note_epoch(&self, epoch: u64) {
        if self.recorded_epoch() == Some(epoch) {
            return;
        }
        if let Err(error) = replace(self.record, &record_text(epoch)) {
            self.warn(&error);
        }
    }

    fn warn(&self, error: &io::Error) {
        tracing::warn!(
            file = %self.record.display(),
            %error,
            "cannot note the deployment; a lost store may not be noticed at the next start"
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

async fn is_filled_within(writer: &StoreWriter, limit: Duration) -> bool {
    let mut published = writer.published.clone();
    let filled = published.wait_for(|published| !is_empty(&published.state));
    matches!(timeout(limit, filled).await, Ok(Ok(_)))
}

/// Returns `true` if no control plane has written to the store, not even an entry that cannot be read.
fn is_empty(state: &StoreState) -> bool {
    state.epoch() == 0 && state.mod_revision_at(&ObjectKey::Marker).is_none()
}

fn record_text(epoch: u64) -> String {
    format!(
        "# Written by the control plane: a deployment was served from this folder.\n{EPOCH} {epoch}\n"
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
