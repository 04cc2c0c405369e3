//! Leader election for probing: one control plane probes the servers, the others stand by. A lease in the store names
//! the leader. The lease alone does not guarantee exclusion, because a process that was stopped for longer than its
//! lease does not know that it lost it. Every write of the prober is therefore fenced: its transaction requires that
//! the entry is still the one of this leadership. A control plane that does not follow its store can store no result, and
//! leaves the leadership to others.
//!
//! ```text
//! standby --entry absent, acquired--> leader --lease lost, not renewed in time, fence invalid, store not followed--> standby
//! ```

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use toolgate_control_core::port::{
    KeyValue, Lease, PublishedState, Revision, Store, StoreError, Txn, TxnCompare, TxnOutcome,
    WriteOp,
};
use toolgate_runtime::{Drain, random};

#[cfg(test)]
mod tests;

/// Store key of the leader's entry. It is not part of the published state.
pub(crate) const LEADER_KEY: &str = "/leases/prober";
/// Time to live of the lease, in seconds. The leadership ends this long after the leader stops.
const LEASE_SECONDS: u64 = 10;
/// Interval at which the leader renews the lease, and at which a standby control plane checks it (plus jitter).
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// Maximum time to release the leadership.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Fence of a leadership: holds while the entry of the leader has the revision at which this leadership wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeadershipFence {
    /// Revision of the entry.
    entry: Revision,
}

impl LeadershipFence {
    /// Returns the precondition that the fence adds to a transaction.
    pub(crate) fn compare(self) -> TxnCompare {
        TxnCompare::ModRevision(LEADER_KEY.to_owned(), self.entry)
    }

    /// Returns `true` if the entry in the store is still that of this leadership.
    pub(crate) async fn is_valid(self, store: &dyn Store) -> Result<bool, StoreError> {
        let found = entry(store).await?;
        Ok(found.is_some_and(|found| found.mod_revision == self.entry))
    }
}

/// Leadership of this control plane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Leadership {
    held: watch::Receiver<Option<Revision>>,
    invalidate: Arc<Notify>,
}

impl Leadership {
    /// Returns the fence of the leadership; `None` without leadership.
    pub(crate) fn fence(&self) -> Option<LeadershipFence> {
        let held = *self.held.borrow();
        held.map(|entry| LeadershipFence { entry })
    }

    /// Returns a receiver that changes with the leadership.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Revision>> {
        self.held.clone()
    }

    /// Reports that the fence is no longer valid.
    pub(crate) fn invalidate(&self) {
        self.invalidate.notify_one();
    }
}

/// Acquires and holds the leadership.
pub(crate) struct LeaderElection {
    store: Arc<dyn Store>,
    published: watch::Receiver<Arc<PublishedState>>,
    held: watch::Sender<Option<Revision>>,
    invalidate: Arc<Notify>,
    lease: Option<Lease>,
    /// True if no other control plane can have this store open. An existing entry was then left behind by an earlier
    /// process.
    exclusive_store: bool,
}

impl LeaderElection {
    /// Creates a candidate for the leadership. `published` tells whether the store is followed.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        published: watch::Receiver<Arc<PublishedState>>,
        exclusive_store: bool,
    ) -> (Self, Leadership) {
        let (held, receiver) = watch::channel(None);
        let invalidate = Arc::<Notify>::default();
        let leadership = Leadership {
            held: receiver,
            invalidate: Arc::clone(&invalidate),
        };
        let candidate = Self {
            store,
            published,
            held,
            invalidate,
            lease: None,
            exclusive_store,
        };
        (candidate, leadership)
    }

    /// Runs until the drain starts, and then releases the leadership, so that another control plane can take over at
    /// once. Requests to the store are always awaited, so that none is in flight when this returns.
    pub(crate) async fn run(mut self, drain: Drain) {
        while !drain.is_draining() {
            match self.acquire().await {
                Ok(Some((lease, revision))) => {
                    self.held.send_replace(Some(revision));
                    tracing::info!(revision, "this control plane probes the servers");
                    self.hold(lease, &drain).await;
                    self.release().await;
                    tracing::info!("this control plane no longer probes the servers");
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot see who probes");
                    self.release().await;
                }
            }
            let apart = Duration::from_millis(random::number() % 1_000);
            tokio::select! {
                () = drain.draining() => {}
                () = sleep(RENEW_INTERVAL + apart) => {}
            }
        }
    }

    /// Acquires the leadership, if no other control plane has it and the store is followed.
    async fn acquire(&mut self) -> Result<Option<(Lease, Revision)>, StoreError> {
        if self.published.borrow().refusal.is_some() {
            return Ok(None);
        }
        if let Some(entry) = entry(self.store.as_ref()).await? {
            if !std::mem::take(&mut self.exclusive_store) {
                return Ok(None);
            }
            let left_behind = Txn {
                compares: vec![TxnCompare::ModRevision(
                    entry.key.clone(),
                    entry.mod_revision,
                )],
                writes: vec![WriteOp::Delete(entry.key)],
            };
            self.store.commit(left_behind).await?;
        }
        let lease = self.store.grant_lease(LEASE_SECONDS).await?;
        self.lease = Some(lease);
        let take = Txn {
            compares: vec![TxnCompare::Absent(LEADER_KEY.to_owned())],
            writes: vec![WriteOp::Put {
                key: LEADER_KEY.to_owned(),
                value: random::id().into_bytes(),
                lease: Some(lease),
            }],
        };
        match self.store.commit(take).await? {
            TxnOutcome::Committed(revision) => Ok(Some((lease, revision))),
            TxnOutcome::CompareFailed => {
                self.release().await;
                Ok(None)
            }
        }
    }

    /// Renews the lease. Returns when the leadership is or may be lost.
    async fn hold(&self, lease: Lease, drain: &Drain) {
        let mut renewed = Instant::now();
        let mut published = self.published.clone();
        loop {
            tokio::select! {
                () = sleep(RENEW_INTERVAL) => {}
                () = store_refused(&mut published) => return,
                () = self.invalidate.notified() => return,
                () = drain.draining() => return,
            }
            match timeout(RENEW_INTERVAL, self.store.keep_alive(lease)).await {
                Ok(Ok(())) => renewed = Instant::now(),
                Ok(Err(StoreError::LeaseNotFound)) => return,
                // The lease may still be valid. All writes are fenced, so continuing is safe until the lease has
                // expired.
                Ok(Err(_)) | Err(_) => {
                    if renewed.elapsed() >= Duration::from_secs(LEASE_SECONDS) {
                        return;
                    }
                }
            }
        }
    }

    async fn release(&mut self) {
        self.held.send_replace(None);
        if let Some(lease) = self.lease.take() {
            let _lost_already = timeout(RELEASE_TIMEOUT, self.store.revoke_lease(lease)).await;
        }
    }
}

/// Waits until the store is not followed.
async fn store_refused(published: &mut watch::Receiver<Arc<PublishedState>>) {
    let refused = published.wait_for(|published| published.refusal.is_some());
    if refused.await.is_err() {
        // The follower has ended with the process.
        std::future::pending().await
    }
}

async fn entry(store: &dyn Store) -> Result<Option<KeyValue>, StoreError> {
    let page = store.list(LEADER_KEY, None, 1, None).await?;
    Ok(page
        .entries
        .into_iter()
        .find(|entry| entry.key == LEADER_KEY))
}
