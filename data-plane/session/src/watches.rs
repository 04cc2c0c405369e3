//! Resources and tasks that one client subscribes to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use toolgate_data_core::{GatewayView, Grant, Refusal, plan::ResourceTarget, subscription::URIS};

use crate::{listeners::Interest, news::Outlook};

/// Resource subscriptions by the client's own URIs. The lock is never held across an await.
#[derive(Default)]
pub(crate) struct Watches(Mutex<BTreeMap<Box<str>, Interest>>);

impl Watches {
    /// Returns `true` if the client subscribes to this resource already; otherwise fails if there is no room.
    pub(crate) fn has(&self, exposed: &str) -> Result<bool, Refusal> {
        let all = self.all();
        match (all.contains_key(exposed), all.len() < URIS) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(Refusal::TooManyOpen("subscriptions")),
        }
    }

    pub(crate) fn insert(&self, exposed: Box<str>, interest: Interest) {
        let _before = self.all().insert(exposed, interest);
    }

    pub(crate) fn remove(&self, exposed: &str) {
        let _gone = self.all().remove(exposed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Drops resources that the client may no longer read, or whose URI now names another resource.
    pub(crate) fn retain(&self, gateway: &GatewayView, grant: &Grant) {
        let kept = |target: &ResourceTarget, interest: &Interest| {
            grant.allows_rest() && gateway.offers.subscribe && interest.is_in(target)
        };
        self.all().retain(|exposed, interest| {
            let target = gateway.locate(exposed);
            target.is_some_and(|target| kept(&target, interest))
        });
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Interest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Task subscriptions by the client's own task ids.
#[derive(Default)]
pub(crate) struct Follows(Mutex<BTreeMap<Box<str>, Follow>>);

/// Subscription to the status of one task.
pub(crate) struct Follow {
    pub(crate) outlook: Outlook,
    pub(crate) interest: Interest,
}

impl Follows {
    pub(crate) fn insert(&self, exposed: Box<str>, follow: Follow) {
        let _before = self.all().insert(exposed, follow);
    }

    /// Drops tasks that the client may no longer follow, and replans the others against the current gateway.
    pub(crate) fn retain(&self, gateway: &Arc<GatewayView>, grant: &Grant) {
        self.all().retain(|_, Follow { outlook, interest }| {
            let now = outlook.call().followed_at(gateway, grant);
            let now = now.filter(|now| interest.is_of(&now.server().name));
            now.map(|now| outlook.set(now)).is_some()
        });
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Follow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
