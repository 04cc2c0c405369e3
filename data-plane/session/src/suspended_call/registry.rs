//! Suspended calls of this proxy, which wait for answers of their modern clients. Each is handed out once, to the
//! principal that sent it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime;
use toolgate_actor::{self as actor, ActorSystem};
use toolgate_data_core::call::suspended::SuspensionHandle;
use toolgate_model::{Principal, Slug, Timestamp};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, clock::SharedClock};

use super::actor::{SuspendedCallActor, SuspendedCallMessage};
use crate::sharded_map::ShardedMap;

/// Maximum number of suspended calls of one proxy.
pub const SUSPENDED_CALLS: usize = 10_000;

/// Maximum number of suspended calls of one principal.
pub const SUSPENDED_CALLS_PER_PRINCIPAL: usize = 64;

/// Timeout of handing a call out.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// Registry of suspended calls; `P` is the call. Cheap to clone.
pub struct SuspendedCalls<P: Send + Unpin + 'static> {
    shared: Arc<SuspendedRegistry<P>>,
    system: ActorSystem,
    /// Runtime of the connections of calls, which is not the runtime of actors.
    runtime: runtime::Handle,
}

pub(crate) struct SuspendedRegistry<P: Send + Unpin + 'static> {
    calls: ShardedMap<SuspensionHandle, Arc<SuspendedEntry<P>>>,
    principals: Arc<Quota>,
    clock: SharedClock,
}

/// Registry entry of one suspended call.
pub(crate) struct SuspendedEntry<P: Send + Unpin + 'static> {
    actor: actor::ActorHandle<SuspendedCallActor<P>>,
    principal: Arc<Principal>,
    gateway: Slug,
    /// Quota of the principal.
    _share: QuotaPermit,
}

impl<P: Send + Unpin + 'static> SuspendedCalls<P> {
    /// Creates an empty registry with a quota per principal. Has to be called on the runtime of calls.
    pub fn new(system: ActorSystem, clock: SharedClock, share: usize) -> Self {
        let shared = Arc::new(SuspendedRegistry {
            calls: ShardedMap::new(SUSPENDED_CALLS),
            principals: Quota::new(share),
            clock,
        });
        Self {
            shared,
            system,
            runtime: runtime::Handle::current(),
        }
    }

    /// Returns the number of suspended calls.
    pub fn count(&self) -> usize {
        self.shared.calls.len()
    }

    /// Keeps a call through `gateway` under an unguessable handle. Returns the call if there is no room.
    pub fn park(
        &self,
        name: SuspensionHandle,
        principal: &Arc<Principal>,
        gateway: &Slug,
        call: P,
    ) -> Result<(), P> {
        let share = self.shared.principals.acquire(BudgetOwner::of(principal));
        let Some(share) = share.filter(|_| self.count() < SUSPENDED_CALLS) else {
            return Err(call);
        };
        let slot = Mutex::new(Some(call));
        let entry = Arc::new_cyclic(|entry: &Weak<SuspendedEntry<P>>| {
            let (shared, entry) = (Arc::downgrade(&self.shared), entry.clone());
            let runtime = self.runtime.clone();
            let make = move || {
                let call = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (shared, entry) = (shared.clone(), entry.clone());
                SuspendedCallActor::new(name, call, shared, entry, runtime.clone())
            };
            SuspendedEntry {
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

    /// Hands out the call of this handle, if it is a call of `principal` that still waits.
    pub async fn claim(&self, name: &SuspensionHandle, principal: &Arc<Principal>) -> Option<P> {
        let entry = self.shared.calls.get(name)?;
        if entry.principal != *principal {
            return None;
        }
        let claimed = entry
            .actor
            .ask(CLAIM_TIMEOUT, SuspendedCallMessage::Claim)
            .await;
        claimed.ok().flatten()
    }

    /// Drops all calls, which cancels them at their servers.
    pub fn end_all(&self) {
        self.retain(|_gateway| false);
    }

    /// Drops the calls through gateways that `keep` rejects: their clients cannot come back.
    pub fn retain(&self, keep: impl Fn(&Slug) -> bool) {
        self.shared.calls.for_each(|_name, entry| {
            if !keep(&entry.gateway) && entry.actor.tell(SuspendedCallMessage::End).is_err() {
                entry.actor.stop();
            }
        });
    }
}

impl<P: Send + Unpin + 'static> SuspendedRegistry<P> {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn forget(&self, name: &SuspensionHandle, entry: &Arc<SuspendedEntry<P>>) {
        self.calls
            .remove_if(name, |found| Arc::ptr_eq(found, entry));
    }
}

impl<P: Send + Unpin + 'static> Clone for SuspendedCalls<P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            system: self.system.clone(),
            runtime: self.runtime.clone(),
        }
    }
}

impl<P: Send + Unpin + 'static> fmt::Debug for SuspendedCalls<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SuspendedCalls({})", self.shared.calls.len())
    }
}

#[cfg(test)]
mod tests;
