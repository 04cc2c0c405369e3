//! Suspended calls of this proxy, which wait for answers of their modern clients. Each is handed out once, to the
//! principal that sent it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime;
use toolgate_actor::{ActorHandle, ActorSystem};
use toolgate_data_core::{AuthnId, call::suspended::SuspensionHandle};
use toolgate_model::{Principal, Slug};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, clock::SharedClock};

use super::actor::{SuspendedCallActor, SuspendedCallMessage};
use crate::{registration::Registration, sharded_map::ShardedMap};

/// Maximum number of suspended calls of one proxy.
pub const SUSPENDED_CALLS: usize = 10_000;

/// Maximum number of suspended calls of one principal.
pub const SUSPENDED_CALLS_PER_PRINCIPAL: usize = 64;

/// Timeout of handing a call out.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// Registry of suspended calls; `P` is the call. Cheap to clone.
pub struct SuspendedCalls<P: Send + Unpin + 'static> {
    calls: Arc<ShardedMap<SuspensionHandle, Arc<SuspendedEntry<P>>>>,
    quota: Arc<Quota>,
    clock: SharedClock,
    system: ActorSystem,
    /// Runtime of the connections of calls, which is not the runtime of actors.
    runtime: runtime::Handle,
}

/// Registry entry of one suspended call.
struct SuspendedEntry<P: Send + Unpin + 'static> {
    handle: ActorHandle<SuspendedCallActor<P>>,
    principal: Arc<Principal>,
    gateway: Slug,
    /// Proof of the request that began the call.
    authn: AuthnId,
    /// Counts towards the quota of the principal.
    _permit: QuotaPermit,
}

impl<P: Send + Unpin + 'static> SuspendedCalls<P> {
    /// Creates an empty registry with a quota per principal. Has to be called on the runtime of calls.
    pub fn new(system: ActorSystem, clock: SharedClock, quota: usize) -> Self {
        Self {
            calls: Arc::new(ShardedMap::new(SUSPENDED_CALLS)),
            quota: Quota::new(quota),
            clock,
            system,
            runtime: runtime::Handle::current(),
        }
    }

    /// Returns the number of suspended calls.
    pub fn count(&self) -> usize {
        self.calls.len()
    }

    /// Keeps a call through `gateway`, begun by a request with the proof `authn`, under an unguessable handle. Returns the call if there is no room.
    pub fn suspend(
        &self,
        name: SuspensionHandle,
        principal: &Arc<Principal>,
        (gateway, authn): (&Slug, AuthnId),
        call: P,
    ) -> Result<(), P> {
        let permit = self.quota.acquire(BudgetOwner::of(principal));
        let Some(permit) = permit.filter(|_| self.count() < SUSPENDED_CALLS) else {
            return Err(call);
        };
        let slot = Mutex::new(Some(call));
        let entry = Arc::new_cyclic(|entry: &Weak<SuspendedEntry<P>>| {
            let registration = Registration::new(&self.calls, name, entry.clone());
            let (clock, runtime) = (Arc::clone(&self.clock), self.runtime.clone());
            let actor = move || {
                let call = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (clock, registration) = (Arc::clone(&clock), registration.clone());
                SuspendedCallActor::new(call, clock, registration, runtime.clone())
            };
            SuspendedEntry {
                handle: self.system.spawn(actor),
                principal: Arc::clone(principal),
                gateway: gateway.clone(),
                authn,
                _permit: permit,
            }
        });
        self.calls.update(&name, |value| *value = Some(entry));
        Ok(())
    }

    /// Hands out the call of this handle, if it is a call of `principal` that still waits.
    pub async fn claim(&self, name: &SuspensionHandle, principal: &Arc<Principal>) -> Option<P> {
        let entry = self.calls.get(name)?;
        if entry.principal != *principal {
            return None;
        }
        let claimed = entry
            .handle
            .ask(CLAIM_TIMEOUT, SuspendedCallMessage::Claim)
            .await;
        claimed.ok().flatten()
    }

    /// Drops all calls, which cancels them at their servers.
    pub fn end_all(&self) {
        self.retain(|_gateway, _authn| false);
    }

    /// Drops the calls whose gateway or proof `keep` rejects: their clients cannot come back.
    pub fn retain(&self, keep: impl Fn(&Slug, &AuthnId) -> bool) {
        self.calls.for_each(|_name, entry| {
            let kept = keep(&entry.gateway, &entry.authn);
            if !kept && entry.handle.tell(SuspendedCallMessage::End).is_err() {
                entry.handle.stop();
            }
        });
    }
}

impl<P: Send + Unpin + 'static> Clone for SuspendedCalls<P> {
    fn clone(&self) -> Self {
        Self {
            calls: Arc::clone(&self.calls),
            quota: Arc::clone(&self.quota),
            clock: Arc::clone(&self.clock),
            system: self.system.clone(),
            runtime: self.runtime.clone(),
        }
    }
}

impl<P: Send + Unpin + 'static> fmt::Debug for SuspendedCalls<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SuspendedCalls({})", self.calls.len())
    }
}

#[cfg(test)]
mod tests;
