//! Saved configuration on disk: the base, and the log of the changes since.

use std::{collections::BTreeSet, sync::Arc};

use toolgate_model::{Delta, ResourceKey, Slug, Snapshot, Version, snapshot::SnapshotEntry};
use toolgate_wire::push::ReceivedUpdate;

use super::{
    FILE,
    delta_log::{self, DeltaLog, LogContent},
    stored_updates::{StoredUpdates, delta_to_bytes, from_bytes, snapshot_to_bytes, stored_length},
};
use crate::disk::{DiskError, EncryptedDirectory, FileId, PreparedFile};

/// Length up to which a log is not replaced by a new base, in bytes.
const MIN_LOG: u64 = 4 * 1024 * 1024;

/// Length of a base from which on its reading is logged, in bytes.
const LONG_READ: u64 = 8 * 1024 * 1024;

/// Temporary file of a base that is saved at once.
const SAVING_FILE: &str = "view.new";
/// Temporary file of a base that replaces a long log. Changes are saved meanwhile, perhaps as a base of their own.
const COMPACTION_FILE: &str = "view-compacted.new";

/// Files of the saved configuration.
pub(crate) struct SavedConfig {
    disk: Arc<EncryptedDirectory>,
    /// Snapshot that the files hold.
    saved: Arc<Snapshot>,
    /// Log of the base. Without one, the next change is saved as a new base.
    log: Option<DeltaLog>,
    /// Length of the base.
    base_length: u64,
    /// Length of the current resources in the files. The rest belongs to resources that were replaced or removed since.
    /// `None` until it is measured for the first change after the start.
    used_length: Option<u64>,
    /// Organizations of the content that was loaded, until its snapshot is known.
    loaded_organizations: BTreeSet<Slug>,
    /// Version without the resources of an organization that the files still hold, in the base or in the log.
    deleted_at: Option<Version>,
    /// Length up to which the log is not replaced by a new base, and up to which unused content does not count.
    min_log: u64,
}

/// Content of the files.
struct StoredConfig {
    update: ReceivedUpdate,
    base: FileId,
    base_length: u64,
    log: LogContent,
    /// Organizations of all resources, also of removed resources.
    organizations: BTreeSet<Slug>,
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
    pub(crate) fn empty(disk: Arc<EncryptedDirectory>) -> Self {
        Self {
            disk,
            saved: Arc::default(),
            log: None,
            base_length: 0,
            used_length: None,
            loaded_organizations: BTreeSet::new(),
            deleted_at: None,
            min_log: MIN_LOG,
        }
    }

    /// Reads the files. Returns the push that delivers their content, if there is one.
    pub(crate) fn load(disk: &Arc<EncryptedDirectory>) -> (Option<ReceivedUpdate>, Self) {
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
        files.loaded_organizations = stored.organizations;
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
        let loaded = std::mem::take(&mut self.loaded_organizations);
        if lacks_any(snapshot, loaded.iter().collect()) {
            self.deleted_at = Some(snapshot.version);
        }
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
            let delta = snapshot.changes_from(&self.saved);
            let used = used_after(&self.saved, self.used_length, &delta);
            let removed = delta.removes.iter().map(|key| &key.name.org).collect();
            let has_deletion = lacks_any(snapshot, removed);
            let bytes = delta_to_bytes(delta);
            if bytes.len() as u64 <= limit {
                let appended = log.append(&self.disk, &bytes);
                if appended.is_ok() {
                    self.saved = Arc::clone(snapshot);
                    self.used_length = Some(used);
                    if has_deletion {
                        self.deleted_at = Some(snapshot.version);
                    }
                } else if log.repair().is_err() {
                    self.log = None;
                }
                return appended;
            }
        }
        let base = Self::write_base(&self.disk, SAVING_FILE, snapshot)?;
        self.replace_base(base, snapshot)
    }

    /// Returns `true` if the files hold resources of an organization that has none any more.
    pub(super) fn holds_deleted_organization(&self) -> bool {
        self.log.is_some() && self.deleted_at.is_some()
    }

    /// Returns `true` if a new base would be shorter than the log, if more than half of the files is of resources that
    /// were replaced or removed, or if an organization was deleted.
    pub(super) fn needs_compaction(&self) -> bool {
        if self.holds_deleted_organization() {
            return true;
        }
        let Some(log) = self.log.as_ref().map(DeltaLog::length) else {
            return false;
        };
        let total = self.base_length + log;
        let is_mostly_unused = |used: u64| total > self.min_log && used < total / 2;
        log > self.max_log() || self.used_length.is_some_and(is_mostly_unused)
    }

    /// Writes a base with `snapshot` that is to replace a long log, beside the files in use.
    pub(super) fn prepare(
        disk: &EncryptedDirectory,
        snapshot: &Arc<Snapshot>,
    ) -> Result<PreparedCheckpoint, DiskError> {
        Self::write_base(disk, COMPACTION_FILE, snapshot)
    }

    fn write_base(
        disk: &EncryptedDirectory,
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
        // A base of an earlier snapshot holds what was deleted since.
        if self
            .deleted_at
            .is_some_and(|at| base.snapshot.version >= at)
        {
            self.deleted_at = None;
        }
        self.base_length = length;
        if !Arc::ptr_eq(&self.saved, snapshot) {
            self.used_length = Some(length);
        }
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

/// Returns `true` if one of these organizations has no resource in the snapshot.
fn lacks_any(snapshot: &Snapshot, mut organizations: BTreeSet<&Slug>) -> bool {
    for key in snapshot.entries.keys() {
        if organizations.is_empty() {
            return false;
        }
        organizations.remove(&key.name.org);
    }
    !organizations.is_empty()
}

/// Returns the length of the resources of `saved` after `delta`. `used` is the length before, if it was measured.
fn used_after(saved: &Snapshot, used: Option<u64>, delta: &Delta) -> u64 {
    let length = |(key, entry): (&ResourceKey, &SnapshotEntry)| stored_length(key, entry);
    let used = used.unwrap_or_else(|| saved.entries.iter().map(length).sum());
    let put = delta.puts.iter().map(|(key, _)| key);
    let replaced = put.chain(&delta.removes);
    let replaced = replaced.filter_map(|key| Some(stored_length(key, saved.entries.get(key)?)));
    let added = delta
        .puts
        .iter()
        .map(|(key, entry)| stored_length(key, entry));
    used.saturating_add(added.sum())
        .saturating_sub(replaced.sum())
}

/// Reads the files, without a change of them apart from a damaged base, which is moved aside.
fn read(disk: &EncryptedDirectory) -> Option<StoredConfig> {
    let base = disk.load_file(FILE)?;
    if base.length > LONG_READ {
        let mebibytes = base.length >> 20;
        tracing::info!(mebibytes, "reading the saved configuration");
    }
    let Some(update) = from_bytes(&base.content) else {
        disk.quarantine(FILE);
        return None;
    };
    let mut updates = StoredUpdates::default();
    let mut organizations = BTreeSet::new();
    let mut add = |update: ReceivedUpdate| {
        let named = update.puts.iter().map(|(key, _)| &key.name.org);
        for organization in named {
            if !organizations.contains(organization) {
                organizations.insert(organization.clone());
            }
        }
        updates.add(update);
    };
    add(update);
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
        add(update);
    }
    let update = updates.into_update();
    if base.length > LONG_READ {
        let resources = update.puts.len();
        tracing::info!(
            resources,
            "the saved configuration is read; the view is built"
        );
    }
    Some(StoredConfig {
        update,
        base: base.id,
        base_length: base.length,
        log,
        organizations,
        is_known,
    })
}

#[cfg(test)]
mod tests;
