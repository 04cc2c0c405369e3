//! Every living actor, by number: for counting, for pictures, and for ending them all.

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

/// What can be seen of one actor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picture {
    /// See [`Actor::KIND`].
    pub kind: &'static str,
    /// Its number.
    pub id: u64,
    /// See [`Actor::observe`]; null if it did not answer in time.
    pub state: Value,
    /// How often it was made anew after a panic.
    pub restarts: u64,
    /// Messages waiting or in work.
    pub queued: usize,
}

#[derive(Default)]
pub(crate) struct Registry {
    living: Mutex<BTreeMap<u64, Living>>,
    last_id: AtomicU64,
    emptied: Notify,
}

/// One living actor, seen from outside.
#[derive(Clone)]
pub(crate) struct Living {
    pub(crate) kind: &'static str,
    pub(crate) id: u64,
    pub(crate) vital: Arc<Vital>,
    pub(crate) permits: Arc<Permits>,
    pub(crate) address: Arc<dyn Reach>,
}

/// Reaches an actor of whatever type, without keeping it alive.
pub(crate) trait Reach: Send + Sync {
    /// Asks for its picture; none if it is gone.
    fn observe(&self) -> Option<oneshot::Receiver<Value>>;

    /// Asks it to end.
    fn stop(&self);
}

/// An actor's entry; dropped with the actor.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    id: u64,
    vital: Arc<Vital>,
}

/// What an actor's entry and the actor itself share.
#[derive(Debug, Default)]
pub(crate) struct Vital {
    restarts: AtomicU64,
    ended: AtomicBool,
}

impl Registry {
    /// A number for a new actor. It is counted from [`enter`](Self::enter) on.
    pub(crate) fn register(self: &Arc<Self>) -> Registration {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        Registration {
            registry: Arc::clone(self),
            id,
            vital: Arc::default(),
        }
    }

    /// Unless it has ended already: an actor may be done before whoever started it gets here.
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

    /// Ends when nobody lives.
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
