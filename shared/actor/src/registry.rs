//! Registry of all running actors by id, for counts, snapshots and shutdown.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use actix::WeakAddr;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::{
    Actor,
    cell::{ActorCell, MailboxItem},
    permit::MailboxPermits,
};

/// Observed state of one actor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActorSnapshot {
    /// See [`Actor::KIND`].
    pub kind: &'static str,
    /// Id of the actor.
    pub id: u64,
    /// See [`Actor::observe`]; null if the actor did not answer in time.
    pub state: Value,
    /// Number of restarts after a panic.
    pub restarts: u64,
    /// Number of messages queued or being processed.
    pub queued: usize,
}

#[derive(Default)]
pub(crate) struct ActorRegistry {
    actors: Mutex<BTreeMap<u64, ActorEntry>>,
    last_id: AtomicU64,
    emptied: Notify,
}

/// Registry entry of a running actor.
#[derive(Clone)]
pub(crate) struct ActorEntry {
    pub(crate) kind: &'static str,
    pub(crate) id: u64,
    pub(crate) status: Arc<ActorStatus>,
    pub(crate) permits: Arc<MailboxPermits>,
    pub(crate) address: Arc<dyn ActorAddress>,
}

/// Type-erased address of an actor that does not keep the actor alive.
pub(crate) trait ActorAddress: Send + Sync {
    /// Requests the actor's observed state; `None` if the actor has ended.
    fn observe(&self) -> Option<oneshot::Receiver<Value>>;

    /// Asks the actor to end.
    fn stop(&self);
}

/// Registration of an actor, owned by the actor; dropping it removes the registry entry.
pub(crate) struct ActorRegistration {
    registry: Arc<ActorRegistry>,
    id: u64,
    status: Arc<ActorStatus>,
}

/// Status shared between an actor and its registry entry.
#[derive(Debug, Default)]
pub(crate) struct ActorStatus {
    restarts: AtomicU64,
    ended: AtomicBool,
}

impl ActorRegistry {
    /// Allocates an id for a new actor. The actor is counted after [`insert`](Self::insert).
    pub(crate) fn register(self: &Arc<Self>) -> ActorRegistration {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        ActorRegistration {
            registry: Arc::clone(self),
            id,
            status: Arc::default(),
        }
    }

    /// Adds the entry, unless the actor has already ended: an actor may end before its spawner gets here.
    pub(crate) fn insert(&self, entry: ActorEntry) {
        let mut living = self.actors();
        if !entry.status.ended.load(Ordering::Relaxed) {
            living.insert(entry.id, entry);
        }
    }

    pub(crate) fn all(&self, limit: usize) -> Vec<ActorEntry> {
        self.actors().values().take(limit).cloned().collect()
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for living in self.actors().values() {
            *counts.entry(living.kind).or_insert(0) += 1;
        }
        counts
    }

    /// Waits until no actor is left.
    pub(crate) async fn wait_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.actors().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn actors(&self) -> MutexGuard<'_, BTreeMap<u64, ActorEntry>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActorRegistration {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn status(&self) -> Arc<ActorStatus> {
        Arc::clone(&self.status)
    }

    pub(crate) fn restarted(&self) {
        self.status.restarts.fetch_add(1, Ordering::Relaxed);
    }
}

impl ActorStatus {
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

impl Drop for ActorRegistration {
    fn drop(&mut self) {
        let mut living = self.registry.actors();
        self.status.ended.store(true, Ordering::Relaxed);
        living.remove(&self.id);
        if living.is_empty() {
            self.registry.emptied.notify_waiters();
        }
    }
}

impl<A: Actor> ActorAddress for WeakAddr<ActorCell<A>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by who observes, not by messages"
    )]
    fn observe(&self) -> Option<oneshot::Receiver<Value>> {
        let (sender, receiver) = oneshot::channel();
        self.upgrade()?.do_send(MailboxItem::Observe(sender));
        Some(receiver)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "ending must not be refused as busy"
    )]
    fn stop(&self) {
        if let Some(address) = self.upgrade() {
            address.do_send(MailboxItem::Stop);
        }
    }
}
