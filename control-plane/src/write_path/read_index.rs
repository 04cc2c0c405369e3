//! Read index: the revision that a replica must have seen before it answers from its own state. Reads of the store are
//! linearizable, so the version marker found by a read that starts after a request has arrived is at least as new as
//! every change that any control plane acknowledged before the request. Concurrent requests share reads.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use toolgate_control_core::{
    ObjectKey, Revision,
    port::{Store, StoreError},
};

/// Shared reads of the version marker.
#[derive(Default)]
pub(super) struct ReadIndex {
    /// Number of reads started.
    started: AtomicU64,
    /// Latest finished read. Locked while a read is under way.
    latest: Mutex<FinishedRead>,
}

struct FinishedRead {
    number: u64,
    result: Result<Revision, StoreError>,
}

impl ReadIndex {
    /// Returns a revision that is not older than any change of a compile input acknowledged before this call.
    pub(super) async fn read(&self, store: &dyn Store) -> Result<Revision, StoreError> {
        let arrived_after = self.started.load(Ordering::SeqCst);
        let mut latest = self.latest.lock().await;
        // A read with a greater number started after this call, and ended while the lock was awaited.
        if latest.number > arrived_after {
            return latest.result.clone();
        }
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        let result = revision_of(store, &ObjectKey::Marker).await;
        *latest = FinishedRead {
            number,
            result: result.clone(),
        };
        result
    }
}

impl Default for FinishedRead {
    fn default() -> Self {
        Self {
            number: 0,
            result: Ok(0),
        }
    }
}

/// Returns the revision of the last write of `key`; 0 if the key does not exist.
pub(super) async fn revision_of(
    store: &dyn Store,
    key: &ObjectKey,
) -> Result<Revision, StoreError> {
    let key = key.to_string();
    let page = store.list(&key, None, 1, None).await?;
    let entry = page.entries.iter().find(|entry| entry.key == key);
    Ok(entry.map_or(0, |entry| entry.mod_revision))
}
