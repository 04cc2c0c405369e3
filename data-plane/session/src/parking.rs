//! Every call of this proxy that stands still until its modern client has answered. Each is handed out once, to the
//! principal it was made for.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime;
use toolgate_actor::{self as actor, ActorSystem};
use toolgate_data_core::parked::Handle;
use toolgate_model::{Principal, Slug, Timestamp};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, clock::SharedClock};

use crate::{
    parked::{Message, ParkedActor},
    sharded_map::ShardedMap,
};

/// Calls that one proxy keeps.
pub const PARKED: usize = 10_000;

/// Of these, how many of one principal.
pub const PARKED_PER_PRINCIPAL: usize = 64;

/// How long handing one out may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Calls that wait; `P` is what has to be kept of one. Cheap to clone.
pub struct Parking<P: Send + Unpin + 'static> {
    shared: Arc<Shared<P>>,
    system: ActorSystem,
    /// Connections belong to the runtime that calls use, not to the threads of actors.
    runtime: runtime::Handle,
}

pub(crate) struct Shared<P: Send + Unpin + 'static> {
    calls: ShardedMap<Handle, Arc<Entry<P>>>,
    principals: Arc<Quota>,
    clock: SharedClock,
}

/// One parked call, as seen from outside.
pub(crate) struct Entry<P: Send + Unpin + 'static> {
    actor: actor::ActorHandle<ParkedActor<P>>,
    principal: Arc<Principal>,
    gateway: Slug,
    /// Its place among those of its principal.
    _share: QuotaPermit,
}

impl<P: Send + Unpin + 'static> Parking<P> {
    /// None yet; so many of one principal at most. Has to be called on the runtime that calls are made on.
    pub fn new(system: ActorSystem, clock: SharedClock, share: usize) -> Self {
        let shared = Arc::new(Shared {
            calls: ShardedMap::new(PARKED),
            principals: Quota::new(share),
            clock,
        });
        Self {
            shared,
            system,
            runtime: runtime::Handle::current(),
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.shared.calls.len()
    }

    /// Keeps a call through this gateway under a name that nobody can guess; gives it back if there is no room.
    pub fn park(
        &self,
        name: Handle,
        principal: &Arc<Principal>,
        gateway: &Slug,
        call: P,
    ) -> Result<(), P> {
        let share = self.shared.principals.acquire(BudgetOwner::of(principal));
        let Some(share) = share.filter(|_| self.count() < PARKED) else {
            return Err(call);
        };
        let slot = Mutex::new(Some(call));
        let entry = Arc::new_cyclic(|entry: &Weak<Entry<P>>| {
            let (shared, entry) = (Arc::downgrade(&self.shared), entry.clone());
            let runtime = self.runtime.clone();
            let make = move || {
                let call = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (shared, entry) = (shared.clone(), entry.clone());
                ParkedActor::new(name, call, shared, entry, runtime.clone())
            };
            Entry {
                actor: self.system.spawn(make),
                principal: Arc::clone(principal),
                gateway: gateway.clone(),
                _share: share,
            }
        });
        self.shared
            .calls
            .update(&name, |value| *value = Some(entry));
        Ok(())
    }

    /// The call of this name, if this principal parked it, it still waits, and nobody was handed it before.
    pub async fn claim(&self, name: &Handle, principal: &Arc<Principal>) -> Option<P> {
        let entry = self.shared.calls.get(name)?;
        if entry.principal != *principal {
            return None;
        }
        let claimed = entry.actor.ask(DEADLINE, Message::Claim).await;
        claimed.ok().flatten()
    }

    /// Lets go of all of them, which takes them back at their servers.
    pub fn end_all(&self) {
        self.retain(|_gateway| false);
    }

    /// Lets go of those through other gateways: their clients cannot come back.
    pub fn retain(&self, keep: impl Fn(&Slug) -> bool) {
        self.shared.calls.for_each(|_name, entry| {
            if !keep(&entry.gateway) && entry.actor.tell(Message::End).is_err() {
                entry.actor.stop();
            }
        });
    }
}

impl<P: Send + Unpin + 'static> Shared<P> {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn forget(&self, name: &Handle, entry: &Arc<Entry<P>>) {
        self.calls
            .remove_if(name, |found| Arc::ptr_eq(found, entry));
    }
}

impl<P: Send + Unpin + 'static> Clone for Parking<P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            system: self.system.clone(),
            runtime: self.runtime.clone(),
        }
    }
}

impl<P: Send + Unpin + 'static> fmt::Debug for Parking<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parking({})", self.shared.calls.len())
    }
}

#[cfg(test)]
mod tests;
