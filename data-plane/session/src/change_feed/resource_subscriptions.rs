//! Resources and tasks that one client subscribes to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use toolgate_data_core::{
    GatewayView, Grant, Refusal, notify::subscription::MAX_URIS, plan::ResourceTarget,
};

use super::{registry::FeedSubscription, task_notification::TaskStatusCall};

/// Resource subscriptions by the client's own URIs. The lock is never held across an await.
#[derive(Default)]
pub(crate) struct ResourceSubscriptions(Mutex<BTreeMap<Box<str>, FeedSubscription>>);

impl ResourceSubscriptions {
    /// Returns `true` if the client subscribes to this resource already; otherwise fails if there is no room.
    pub(crate) fn contains_or_has_room(&self, exposed: &str) -> Result<bool, Refusal> {
        let all = self.lock();
        match (all.contains_key(exposed), all.len() < MAX_URIS) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(Refusal::TooManyOpen("subscriptions")),
        }
    }

    pub(crate) fn insert(&self, exposed: Box<str>, interest: FeedSubscription) {
        let _before = self.lock().insert(exposed, interest);
    }

    pub(crate) fn remove(&self, exposed: &str) {
        let _gone = self.lock().remove(exposed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Drops resources that the client may no longer read, or whose URI now names another resource.
    pub(crate) fn retain(&self, gateway: &GatewayView, grant: &Grant) {
        let kept = |target: &ResourceTarget, interest: &FeedSubscription| {
            grant.allows_prompts_and_resources()
                && gateway.features.subscribe
                && interest.is_for_resource(target)
        };
        self.lock().retain(|exposed, interest| {
            let target = gateway.locate(exposed);
            target.is_some_and(|target| kept(&target, interest))
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, FeedSubscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Task subscriptions by the client's own task ids.
#[derive(Default)]
pub(crate) struct TaskSubscriptions(Mutex<BTreeMap<Box<str>, TaskSubscription>>);

/// Subscription to the status of one task.
pub(crate) struct TaskSubscription {
    pub(crate) status_call: TaskStatusCall,
    pub(crate) interest: FeedSubscription,
}

impl TaskSubscriptions {
    pub(crate) fn insert(&self, exposed: Box<str>, follow: TaskSubscription) {
        let _before = self.lock().insert(exposed, follow);
    }

    /// Drops tasks that the client may no longer follow, and replans the others against the current gateway.
    pub(crate) fn retain(&self, gateway: &Arc<GatewayView>, grant: &Grant) {
        self.lock().retain(
            |_,
             TaskSubscription {
                 status_call: outlook,
                 interest,
             }| {
                let now = outlook.call().at_gateway(gateway, grant);
                let now = now.filter(|now| interest.is_on_server(&now.server().name));
                now.map(|now| outlook.replace(now)).is_some()
            },
        );
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, TaskSubscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
