//! Leader election for probing: one control plane probes the servers, the others stand by. A lease in the store names
//! the leader. The lease alone does not guarantee exclusion, because a process that was stopped for longer than its
//! lease does not know that it lost it. Every write of the prober is therefore fenced: its transaction requires that
//! the entry is still the one of this leadership.
//!
//! ```text
//! standby --entry absent, acquired--> leader --lease lost, not renewed in time, fence invalid--> standby
//! ```

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use toolgate_control_core::port::{
    Commit, Guard, Lease, Revision, Store, StoreEntry, StoreError, Txn, Write,
};
use toolgate_runtime::{Drain, random};

#[cfg(test)]
mod tests;

/// Store key of the leader's entry. It is not part of the published state.
pub(crate) const ENTRY: &str = "/leases/prober";
/// Time to live of the lease, in seconds. The leadership ends this long after the leader stops.
const LEASE_SECONDS: u64 = 10;
/// Interval at which the leader renews the lease, and at which a standby control plane checks it (plus jitter).
const EVERY: Duration = Duration::from_secs(3);
/// Maximum time to release the leadership.
const FAREWELL: Duration = Duration::from_secs(3);

/// Leadership of this control plane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tenure {
    held: watch::Receiver<Option<Revision>>,
    doubt: Arc<Notify>,
}

impl Tenure {
    /// Returns the fence of the leadership; `None` without leadership.
    pub(crate) fn fence(&self) -> Option<Guard> {
        let revision = *self.held.borrow();
        revision.map(|revision| Guard::Modified(ENTRY.to_owned(), revision))
    }

    /// Returns a receiver that changes with the leadership.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Revision>> {
        self.held.clone()
    }

    /// Reports that the fence is no longer valid.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }
}

/// Acquires and holds the leadership.
pub(crate) struct Candidate {
    store: Arc<dyn Store>,
    held: watch::Sender<Option<Revision>>,
    doubt: Arc<Notify>,
    lease: Option<Lease>,
    /// True if no other control plane can have this store open. An existing entry was then left behind by an earlier
    /// process.
    alone: bool,
}

impl Candidate {
    pub(crate) fn new(store: Arc<dyn Store>, alone: bool) -> (Self, Tenure) {
        let (held, receiver) = watch::channel(None);
        let doubt = Arc::<Notify>::default();
        let tenure = Tenure {
            held: receiver,
            doubt: Arc::clone(&doubt),
        };
        let candidate = Self {
            store,
            held,
            doubt,
            lease: None,
            alone,
        };
        (candidate, tenure)
    }

    /// Runs until the drain starts, and then releases the leadership, so that another control plane can take over at
    /// once. Requests to the store are always awaited, so that none is in flight when this returns.
    pub(crate) async fn run(mut self, drain: Drain) {
        while !drain.is_draining() {
            match self.take().await {
                Ok(Some((lease, revision))) => {
                    self.held.send_replace(Some(revision));
                    tracing::info!(revision, "this control plane probes the servers");
                    self.keep(lease, &drain).await;
                    self.give_up().await;
                    tracing::info!("this control plane no longer probes the servers");
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot see who probes");
                    self.give_up().await;
                }
            }
            let apart = Duration::from_millis(random::number() % 1_000);
            tokio::select! {
                () = drain.draining() => {}
                () = sleep(EVERY + apart) => {}
            }
        }
    }

    /// Acquires the leadership, if no other control plane has it.
    async fn take(&mut self) -> Result<Option<(Lease, Revision)>, StoreError> {
        if let Some(entry) = entry(self.store.as_ref()).await? {
            if !std::mem::take(&mut self.alone) {
                return Ok(None);
            }
            let left_behind = Txn {
                guards: vec![Guard::Modified(entry.key.clone(), entry.modified)],
                writes: vec![Write::Delete(entry.key)],
            };
            self.store.commit(left_behind).await?;
        }
        let lease = self.store.grant_lease(LEASE_SECONDS).await?;
        self.lease = Some(lease);
        let take = Txn {
            guards: vec![Guard::Absent(ENTRY.to_owned())],
            writes: vec![Write::Put {
                key: ENTRY.to_owned(),
                value: random::id().into_bytes(),
                lease: Some(lease),
            }],
        };
        match self.store.commit(take).await? {
            Commit::Done(revision) => Ok(Some((lease, revision))),
            Commit::GuardFailed => {
                self.give_up().await;
                Ok(None)
            }
        }
    }

    /// Renews the lease. Returns when the leadership is or may be lost.
    async fn keep(&self, lease: Lease, drain: &Drain) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = sleep(EVERY) => {}
                () = self.doubt.notified() => return,
                () = drain.draining() => return,
            }
            match timeout(EVERY, self.store.keep_alive(lease)).await {
                Ok(Ok(())) => renewed = Instant::now(),
                Ok(Err(StoreError::LeaseLost)) => return,
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

    async fn give_up(&mut self) {
        self.held.send_replace(None);
        if let Some(lease) = self.lease.take() {
            let _lost_already = timeout(FAREWELL, self.store.revoke_lease(lease)).await;
        }
    }
}

async fn entry(store: &dyn Store) -> Result<Option<StoreEntry>, StoreError> {
    let page = store.list(ENTRY, None, 1, None).await?;
    Ok(page.entries.into_iter().find(|entry| entry.key == ENTRY))
}

/// Returns `true` if the fence of a leadership is still valid.
pub(crate) async fn stands(store: &dyn Store, fence: &Guard) -> Result<bool, StoreError> {
    let found = entry(store).await?;
    Ok(match fence {
        Guard::Modified(_, revision) => found.is_some_and(|entry| entry.modified == *revision),
        Guard::Absent(_) => found.is_none(),
    })
}
