//! Saved configuration on disk: the base, and the log of the changes since.

use std::sync::Arc;

use toolgate_model::Snapshot;
use toolgate_wire::push::ReceivedUpdate;

use super::{
    FILE,
    delta_log::{self, DeltaLog, LogContent},
    stored_updates::{StoredUpdates, delta_to_bytes, from_bytes, snapshot_to_bytes},
};
use crate::disk::{DiskError, FileId, PreparedFile, SealedDirectory};

/// Length up to which a log is not replaced by a new base, in bytes.
const MIN_LOG: u64 = 4 * 1024 * 1024;

/// Temporary file of a base that is saved at once.
const SAVING_FILE: &str = "view.new";
/// Temporary file of a base that replaces a long log. Changes are saved meanwhile, perhaps as a base of their own.
const COMPACTION_FILE: &str = "view-compacted.new";

/// Files of the saved configuration.
pub(crate) struct SavedConfig {
    disk: Arc<SealedDirectory>,
    /// Snapshot that the files hold.
    saved: Arc<Snapshot>,
    /// Log of the base. Without one, the next change is saved as a new base.
    log: Option<DeltaLog>,
    /// Length of the base.
    base_length: u64,
    /// Length up to which the log is not replaced by a new base.
    min_log: u64,
}

/// Content of the files.
struct StoredConfig {
    update: ReceivedUpdate,
    base: FileId,
    base_length: u64,
    log: LogContent,
    /// This build can read all records of the log.
    is_known: bool,
}

/// New base, complete on disk and not in use yet.
#[derive(Debug)]
pub(super) struct PreparedCheckpoint {
    file: PreparedFile,
    snapshot: Arc<Snapshot>,
}

impl SavedConfig {
    /// Creates files that hold nothing.
    pub(crate) fn empty(disk: Arc<SealedDirectory>) -> Self {
        Self {
            disk,
            saved: Arc::default(),
            log: None,
            base_length: 0,
            min_log: MIN_LOG,
        }
    }

    /// Reads the files. Returns the push that delivers their content, if there is one.
    pub(crate) fn load(disk: &Arc<SealedDirectory>) -> (Option<ReceivedUpdate>, Self) {
        let mut files = Self::empty(Arc::clone(disk));
        let stored = read(disk);
        let base = stored.as_ref().map(|stored| stored.base);
        // A base that could not be read may be readable at the next start, together with its log.
        if base.is_some() || !disk.contains(FILE) {
            delta_log::remove_others(disk, base);
        }
        let Some(stored) = stored else {
            return (None, files);
        };
        if stored.is_known {
            files.base_length = stored.base_length;
            files.log = DeltaLog::resume(disk, stored.base, &stored.log)
                .inspect_err(|error| tracing::warn!(%error, "saving the next change as a whole"))
                .ok();
        }
        (Some(stored.update), files)
    }

    /// Records the snapshot that the loaded content has become. If a part of the content was rejected, the next change is
    /// saved as a new base: the control plane does not remove what a proxy does not hold, so the rejected part would
    /// stay in the files, and could be served after it was removed.
    pub(crate) fn set_loaded(&mut self, snapshot: &Arc<Snapshot>, has_rejections: bool) {
        self.saved = Arc::clone(snapshot);
        if has_rejections {
            self.log = None;
        }
    }

    /// Returns the snapshot that the files hold.
    pub(crate) fn saved(&self) -> &Arc<Snapshot> {
        &self.saved
    }

    /// Saves `snapshot`, which is durable afterwards. A failure leaves the files with the former one.
    pub(super) fn save(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), DiskError> {
        let limit = self.max_log();
        if let Some(log) = &mut self.log {
            let bytes = delta_to_bytes(snapshot.changes_from(&self.saved));
            if bytes.len() as u64 <= limit {
                let appended = log.append(&self.disk, &bytes);
                if appended.is_ok() {
                    self.saved = Arc::clone(snapshot);
                } else if log.repair().is_err() {
                    self.log = None;
                }
                return appended;
            }
        }
        let base = Self::write_base(&self.disk, SAVING_FILE, snapshot)?;
        self.replace_base(base, snapshot)
    }

    /// Returns `true` if a new base would be shorter than the log.
    pub(super) fn needs_compaction(&self) -> bool {
        let length = self.log.as_ref().map(DeltaLog::length);
        length.is_some_and(|length| length > self.max_log())
    }

    /// Writes a base with `snapshot` that is to replace a long log, beside the files in use.
    pub(super) fn prepare(
        disk: &SealedDirectory,
        snapshot: &Arc<Snapshot>,
    ) -> Result<PreparedCheckpoint, DiskError> {
        Self::write_base(disk, COMPACTION_FILE, snapshot)
    }

    fn write_base(
        disk: &SealedDirectory,
        temporary: &str,
        snapshot: &Arc<Snapshot>,
    ) -> Result<PreparedCheckpoint, DiskError> {
        let file = disk.prepare(FILE, temporary, &snapshot_to_bytes(snapshot))?;
        let snapshot = Arc::clone(snapshot);
        Ok(PreparedCheckpoint { file, snapshot })
    }

    /// Replaces base and log. The new base was prepared from the saved snapshot or from an earlier one.
    pub(super) fn compact(&mut self, base: PreparedCheckpoint) -> Result<(), DiskError> {
        let saved = Arc::clone(&self.saved);
        self.replace_base(base, &saved)
    }

    fn replace_base(
        &mut self,
        base: PreparedCheckpoint,
        snapshot: &Arc<Snapshot>,
    ) -> Result<(), DiskError> {
        let log = self.create_log(&base, snapshot)?;
        let (id, length) = (base.file.id, base.file.length);
        if let Err(error) = self.disk.commit(base.file) {
            // The base may be either one, and the log of each is complete.
            self.log = None;
            return Err(error);
        }
        self.log = Some(log);
        delta_log::remove_others(&self.disk, Some(id));
        self.base_length = length;
        self.saved = Arc::clone(snapshot);
        Ok(())
    }

    /// Creates the log of a new base, with the changes up to `snapshot`. It is complete before the base is in use.
    fn create_log(
        &self,
        base: &PreparedCheckpoint,
        snapshot: &Arc<Snapshot>,
    ) -> Result<DeltaLog, DiskError> {
        let mut log = DeltaLog::create(&self.disk, base.file.id)?;
        if Arc::ptr_eq(&base.snapshot, snapshot) {
            return Ok(log);
        }
        let bytes = delta_to_bytes(snapshot.changes_from(&base.snapshot));
        match log.append(&self.disk, &bytes) {
            Ok(()) => Ok(log),
            Err(error) => {
                log.remove();
                Err(error)
            }
        }
    }

    /// Length from which on a new base costs less than the log.
    fn max_log(&self) -> u64 {
        self.base_length.max(self.min_log)
    }
}

/// Reads the files, without a change of them apart from a damaged base, which is moved aside.
fn read(disk: &SealedDirectory) -> Option<StoredConfig> {
    let base = disk.load_file(FILE)?;
    let Some(update) = from_bytes(&base.content) else {
        disk.quarantine(FILE);
        return None;
    };
    let mut updates = StoredUpdates::default();
    updates.add(update);
    // A log that cannot be read is left as it is. The next change is saved as a new base.
    let (log, mut is_known) = match delta_log::read(disk, base.id) {
        Some(log) => (log, true),
        None => (LogContent::default(), false),
    };
    for record in &log.records {
        let Some(update) = from_bytes(record) else {
            // Written by another build. The next change is saved as a new base.
            is_known = false;
            break;
        };
        updates.add(update);
    }
    Some(StoredConfig {
        update: updates.into_update(),
        base: base.id,
        base_length: base.length,
        log,
        is_known,
    })
}

#[cfg(test)]
mod tests;
