//! One control plane probes the servers, the others stand by. A lease in the store says which one, and it is not
//! trusted to exclude: a process that was stopped for longer than its lease does not know that it lost it. So every
//! write of the prober is fenced, it demands in its own transaction that the entry still is the one of this tenure.
//!
//! ```text
//! standing by --entry absent, taken--> holding --lease lost, silent for its time, fence fallen--> standing by
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

/// Says who probes. Beside the state, not in it.
pub(crate) const ENTRY: &str = "/leases/prober";
/// How long the tenure of a control plane outlives it.
const LEASE_SECONDS: u64 = 10;
/// How often the lease is renewed, and how often those who stand by look.
const EVERY: Duration = Duration::from_secs(3);
/// How long giving up may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whether this control plane probes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tenure {
    held: watch::Receiver<Option<Revision>>,
    doubt: Arc<Notify>,
}

impl Tenure {
    /// The fence of the tenure, if there is one.
    pub(crate) fn fence(&self) -> Option<Guard> {
        let revision = *self.held.borrow();
        revision.map(|revision| Guard::Modified(ENTRY.to_owned(), revision))
    }

    /// Changes whenever the tenure does.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Revision>> {
        self.held.clone()
    }

    /// The fence has fallen.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }
}

/// Runs for the tenure, and keeps it.
pub(crate) struct Candidate {
    store: Arc<dyn Store>,
    held: watch::Sender<Option<Revision>>,
    doubt: Arc<Notify>,
    lease: Option<Lease>,
    /// Nobody else can have this store open: an entry that is there already was left behind.
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

    /// Runs until the drain starts; then somebody else may take over at once. What it has asked of the store is always
    /// waited for, so that nothing is still under way when it has ended.
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

    /// The tenure, if nobody has it.
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

    /// Returns when the tenure is over, or may be.
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
                // It may still be ours. Fenced as everything is, going on does no harm until the time is over.
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

/// Whether the fence of a tenure still stands.
pub(crate) async fn stands(store: &dyn Store, fence: &Guard) -> Result<bool, StoreError> {
    let found = entry(store).await?;
    Ok(match fence {
        Guard::Modified(_, revision) => found.is_some_and(|entry| entry.modified == *revision),
        Guard::Absent(_) => found.is_none(),
    })
}
