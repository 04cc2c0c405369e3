//! Resources that one client subscribes to.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use toolgate_data_core::{
    AuthnId, GatewayView, Grant, Refusal,
    notify::{subscription::MAX_URIS, view_change::ViewComparison},
    plan::ResourceTarget,
};
use toolgate_model::Slug;

use super::feed_subscription::FeedSubscription;

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

    pub(crate) fn insert(&self, exposed: Box<str>, subscription: FeedSubscription) {
        let _before = self.lock().insert(exposed, subscription);
    }

    pub(crate) fn remove(&self, exposed: &str) {
        let _gone = self.lock().remove(exposed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Applies a view to a client with this proof at this gateway. Also applied after every subscription to a server, with
    /// the view of that time: a view that came while the server was asked has not seen the new subscription.
    pub(crate) fn apply(&self, views: &ViewComparison<'_>, gateway: &Slug, authn: &AuthnId) {
        match views.current(gateway, authn) {
            Some((gateway, grant)) => self.retain(gateway, grant),
            None => self.lock().clear(),
        }
    }

    /// Drops resources that the client may no longer read, or whose URI now names another resource.
    fn retain(&self, gateway: &GatewayView, grant: &Grant) {
        let permitted = |target: &ResourceTarget, subscription: &FeedSubscription| {
            grant.allows_prompts_and_resources()
                && gateway.features.subscribe
                && subscription.is_for_resource(target)
        };
        self.lock().retain(|exposed, subscription| {
            let target = gateway.locate(exposed);
            target.is_some_and(|target| permitted(&target, subscription))
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, FeedSubscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
