//! Task that saves the configuration as it changes. A burst of changes is saved together: the latest snapshot wins, and
//! writes are a pause apart. The pause and one append bound the time after which an acknowledged push survives a crash.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};
use toolgate_model::Snapshot;

use super::saved_config::{PreparedCheckpoint, SavedConfig};
use crate::{
    disk::{DiskError, EncryptedDirectory},
    options::ProxyContext,
};

/// Pause between two writes.
const WRITE_PAUSE: Duration = Duration::from_millis(200);

/// Pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Base that is being written.
type Compaction = JoinHandle<Result<PreparedCheckpoint, DiskError>>;

struct SnapshotWriter {
    files: Arc<Mutex<SavedConfig>>,
    disk: Arc<EncryptedDirectory>,
    saved: Arc<Snapshot>,
    compaction: Option<Compaction>,
    /// The last write failed.
    is_failing: bool,
}

/// Saves the snapshots until the drain has settled, the last one included.
pub(crate) async fn save_changes(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    files: SavedConfig,
    disk: Arc<EncryptedDirectory>,
    context: ProxyContext,
) {
    let holds_deleted = files.holds_deleted_organization();
    let mut writer = SnapshotWriter {
        saved: Arc::clone(files.saved()),
        files: Arc::new(Mutex::new(files)),
        disk,
        compaction: None,
        is_failing: false,
    };
    if holds_deleted {
        writer.start_compaction();
    }
    let mut is_last = false;
    loop {
        let latest = Arc::clone(&snapshots.borrow_and_update());
        if !Arc::ptr_eq(&latest, &writer.saved) {
            writer.save(latest).await;
        }
        if is_last {
            return;
        }
        tokio::select! {
            () = context.drain.settled() => is_last = true,
            () = sleep(if writer.is_failing { RETRY_PAUSE } else { WRITE_PAUSE }) => {}
        }
        if is_last || writer.is_failing {
            continue;
        }
        tokio::select! {
            () = context.drain.settled() => is_last = true,
            changed = snapshots.changed() => if changed.is_err() {
                return;
            },
            base = prepared(&mut writer.compaction) => writer.finish_compaction(base).await,
        }
    }
}

impl SnapshotWriter {
    async fn save(&mut self, snapshot: Arc<Snapshot>) {
        let files = Arc::clone(&self.files);
        let wanted = Arc::clone(&snapshot);
        let save = move || {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.save(&wanted).map(|()| files.needs_compaction())
        };
        // A panic is handled like an error: the write is repeated.
        match spawn_blocking(save).await {
            Ok(Ok(needs_compaction)) => {
                self.saved = snapshot;
                self.report(None);
                if needs_compaction && self.compaction.is_none() {
                    self.start_compaction();
                }
            }
            Ok(Err(error)) => self.report(Some(&error)),
            Err(ended) => self.report(Some(&ended)),
        }
    }

    /// Begins to write a new base. Changes are appended to the log in use meanwhile.
    fn start_compaction(&mut self) {
        let (disk, snapshot) = (Arc::clone(&self.disk), Arc::clone(&self.saved));
        let prepare = spawn_blocking(move || SavedConfig::prepare(&disk, &snapshot));
        self.compaction = Some(prepare);
    }

    async fn finish_compaction(&mut self, base: Option<PreparedCheckpoint>) {
        let Some(base) = base else { return };
        let files = Arc::clone(&self.files);
        let compact = move || {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.compact(base)?;
            Ok::<_, DiskError>(files.holds_deleted_organization())
        };
        match spawn_blocking(compact).await {
            // Deleted while the base was written.
            Ok(Ok(true)) => self.start_compaction(),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the saved configuration stays in its longer form");
            }
        }
    }

    fn report(&mut self, error: Option<&dyn std::fmt::Display>) {
        match (error, self.is_failing) {
            (Some(error), false) => tracing::warn!(
                %error,
                "the configuration cannot be saved: after a restart without a control plane, an older one would be served"
            ),
            (Some(error), true) => {
                tracing::debug!(%error, "the configuration still cannot be saved")
            }
            (None, true) => tracing::info!("the configuration is saved again"),
            (None, false) => {}
        }
        self.is_failing = error.is_some();
    }
}

/// Waits for the base that is being written, if there is one. Returns `None` if writing it failed: the log goes on, and
/// the next change begins another.
async fn prepared(compaction: &mut Option<Compaction>) -> Option<PreparedCheckpoint> {
    let Some(task) = compaction else {
        return pending().await;
    };
    let prepared = task.await;
    *compaction = None;
    match prepared {
        Ok(Ok(base)) => Some(base),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the saved configuration stays in its longer form");
            None
        }
        Err(_ended) => None,
    }
}

#[cfg(test)]
mod tests;
