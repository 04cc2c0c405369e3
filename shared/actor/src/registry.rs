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
    cell::{Cell, Post},
    permit::Permits,
};

/// Observed state of one actor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picture {
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
pub(crate) struct Registry {
    living: Mutex<BTreeMap<u64, Living>>,
    last_id: AtomicU64,
    emptied: Notify,
}

/// Registry entry of a running actor.
#[derive(Clone)]
pub(crate) struct Living {
    pub(crate) kind: &'static str,
    pub(crate) id: u64,
    pub(crate) vital: Arc<Vital>,
    pub(crate) permits: Arc<Permits>,
    pub(crate) address: Arc<dyn Reach>,
}

/// Type-erased address of an actor that does not keep the actor alive.
pub(crate) trait Reach: Send + Sync {
    /// Requests the actor's observed state; `None` if the actor has ended.
    fn observe(&self) -> Option<oneshot::Receiver<Value>>;

    /// Asks the actor to end.
    fn stop(&self);
}

/// Registration of an actor, owned by the actor; dropping it removes the registry entry.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    id: u64,
    vital: Arc<Vital>,
}

/// Status shared between an actor and its registry entry.
#[derive(Debug, Default)]
pub(crate) struct Vital {
    restarts: AtomicU64,
    ended: AtomicBool,
}

impl Registry {
    /// Allocates an id for a new actor. The actor is counted after [`insert`](Self::insert).
    pub(crate) fn register(self: &Arc<Self>) -> Registration {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        Registration {
            registry: Arc::clone(self),
            id,
            vital: Arc::default(),
        }
    }

    /// Adds the entry, unless the actor has already ended: an actor may end before its spawner gets here.
    pub(crate) fn enter(&self, entry: Living) {
        let mut living = self.living();
        if !entry.vital.ended.load(Ordering::Relaxed) {
            living.insert(entry.id, entry);
        }
    }

    pub(crate) fn all(&self, limit: usize) -> Vec<Living> {
        self.living().values().take(limit).cloned().collect()
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for living in self.living().values() {
            *counts.entry(living.kind).or_insert(0) += 1;
        }
        counts
    }

    /// Waits until no actor is left.
    pub(crate) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.living().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn living(&self) -> MutexGuard<'_, BTreeMap<u64, Living>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn vital(&self) -> Arc<Vital> {
        Arc::clone(&self.vital)
    }

    pub(crate) fn restarted(&self) {
        self.vital.restarts.fetch_add(1, Ordering::Relaxed);
    }
}

impl Vital {
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut living = self.registry.living();
        self.vital.ended.store(true, Ordering::Relaxed);
        living.remove(&self.id);
        if living.is_empty() {
            self.registry.emptied.notify_waiters();
        }
    }
}

impl<A: Actor> Reach for WeakAddr<Cell<A>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by who observes, not by messages"
    )]
    fn observe(&self) -> Option<oneshot::Receiver<Value>> {
        let (sender, receiver) = oneshot::channel();
        self.upgrade()?.do_send(Post::Observe(sender));
        Some(receiver)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "ending must not be refused as busy"
    )]
    fn stop(&self) {
        if let Some(address) = self.upgrade() {
            address.do_send(Post::Stop);
        }
    }
}
