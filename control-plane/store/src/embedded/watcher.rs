//! Watch of the embedded store: waits for the latest revision to grow, then reads the changes from the log.

use redb::ReadableDatabase;
use tokio::{sync::watch, time::timeout};
use toolgate_control_core::port::{BoxFuture, Revision, StoreError, StoreWatcher, WatchBatch};

use super::{EmbeddedStore, LEASE_CHECK_INTERVAL, error::OrStoreError, read};

pub(super) struct LogWatcher {
    store: EmbeddedStore,
    latest: watch::Receiver<Revision>,
    prefix: String,
    next: Revision,
}

impl LogWatcher {
    pub(super) fn new(store: EmbeddedStore, prefix: String, from: Revision) -> Self {
        let latest = store.shared.latest.subscribe();
        Self {
            store,
            latest,
            prefix,
            next: from,
        }
    }

    /// Checks that the history from the first revision on is not compacted.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.read().await.map(drop)
    }

    async fn read(&self) -> Result<WatchBatch, StoreError> {
        let (prefix, from) = (self.prefix.clone(), self.next);
        let changes = self.store.blocking(move |_, database| {
            let read = database.begin_read().or_store_error()?;
            read::changes(&read, &prefix, from)
        });
        changes.await
    }

    async fn advance(&mut self) -> Result<WatchBatch, StoreError> {
        loop {
            let latest = *self.latest.borrow_and_update();
            if latest >= self.next {
                let batch = self.read().await?;
                self.next = batch.revision.max(self.next.saturating_sub(1)) + 1;
                if !batch.events.is_empty() {
                    return Ok(batch);
                }
                continue;
            }
            // No other request may arrive to expire leases, so the watcher does it.
            match timeout(LEASE_CHECK_INTERVAL, self.latest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_closed)) => return Err(StoreError::Unavailable("closed".to_owned())),
                Err(_elapsed) => self.store.blocking(|_, _| Ok(())).await?,
            }
        }
    }
}

impl StoreWatcher for LogWatcher {
    fn next(&mut self) -> BoxFuture<'_, Result<WatchBatch, StoreError>> {
        Box::pin(self.advance())
    }
}
