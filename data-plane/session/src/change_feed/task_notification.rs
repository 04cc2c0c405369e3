//! Delivery of task notifications: rewritten for each subscriber, once for subscribers with the same view. Runs outside
//! of the feed's actor, because a notification may be large and have many subscribers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use toolgate_actor::{ActorHandle, SendError};
use toolgate_data_core::{notify::topic_subscriptions::InterestId, plan::CallPlan, rewrite};

use crate::subscription::{SubscriptionActor, SubscriptionMessage};

/// Status call that stands for a followed task, planned against the current view of the client's gateway. Shared by the
/// subscription, which keeps it current, and the delivery.
#[derive(Debug, Clone)]
pub(crate) struct TaskStatusCall(Arc<Mutex<Arc<CallPlan>>>);

/// Task notification with its recipients.
pub(crate) struct TaskNotification {
    params: Bytes,
    recipients: Vec<(InterestId, ActorHandle<SubscriptionActor>, TaskStatusCall)>,
}

impl TaskStatusCall {
    pub(crate) fn new(call: Arc<CallPlan>) -> Self {
        Self(Arc::new(Mutex::new(call)))
    }

    pub(crate) fn call(&self) -> Arc<CallPlan> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, call: Arc<CallPlan>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }
}

impl TaskNotification {
    pub(crate) fn new(params: Bytes) -> Self {
        let recipients = Vec::new();
        Self { params, recipients }
    }

    pub(crate) fn add(
        &mut self,
        interest: InterestId,
        one: ActorHandle<SubscriptionActor>,
        how: TaskStatusCall,
    ) {
        self.recipients.push((interest, one, how));
    }

    /// Sends the notification to all recipients; returns the interests without a receiver.
    pub(crate) async fn send(self) -> Vec<InterestId> {
        let (mut shown, mut gone) = (BTreeMap::new(), Vec::new());
        for (interest, one, how) in self.recipients {
            let call = how.call();
            let Some(task) = call.target.task() else {
                continue;
            };
            let gateway = Arc::as_ptr(&call.gateway).addr();
            let sight = (task.exposed.clone(), gateway, call.client.capabilities());
            let known: Option<Option<Bytes>> = shown.get(&sight).cloned();
            let notice = match known {
                Some(notice) => notice,
                None => {
                    let notice = rewrite::task_notification_params(&call, &self.params);
                    shown.insert(sight, notice.clone());
                    // Yields to other tasks between two rewrites.
                    tokio::task::yield_now().await;
                    notice
                }
            };
            let told = notice
                .map(|notice| one.tell(SubscriptionMessage::Task(task.exposed.clone(), notice)));
            if matches!(told, Some(Err(SendError::Gone))) {
                gone.push(interest);
            }
        }
        gone
    }
}
