//! Tasks that one subscription follows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use toolgate_data_core::{GatewayView, Grant};

use crate::change_feed::{FeedSubscription, TaskStatusCall};

/// Task subscriptions by the client's own task ids. The lock is never held across an await.
#[derive(Default)]
pub(crate) struct TaskSubscriptions(Mutex<BTreeMap<Box<str>, TaskSubscription>>);

/// Subscription to the status of one task.
pub(crate) struct TaskSubscription {
    pub(crate) status_call: TaskStatusCall,
    pub(crate) feed_subscription: FeedSubscription,
}

impl TaskSubscriptions {
    pub(crate) fn insert(&self, exposed: Box<str>, subscription: TaskSubscription) {
        let _before = self.lock().insert(exposed, subscription);
    }

    /// Drops tasks that the client may no longer follow, and replans the others against the current gateway.
    pub(crate) fn retain(&self, gateway: &Arc<GatewayView>, grant: &Grant) {
        self.lock()
            .retain(|_exposed, subscription| subscription.replan(gateway, grant));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, TaskSubscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskSubscription {
    /// Plans the status call against this gateway. Returns `false` if the client may no longer follow the task.
    fn replan(&self, gateway: &Arc<GatewayView>, grant: &Grant) -> bool {
        let call = self.status_call.call().at_gateway(gateway, grant);
        let call = call.filter(|call| self.feed_subscription.is_on_server(&call.server().name));
        call.map(|call| self.status_call.replace(call)).is_some()
    }
}
