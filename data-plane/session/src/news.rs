//! Delivery of task notifications: rewritten for each subscriber, once for subscribers with the same view. Runs outside
//! of the feed's actor, because a notification may be large and have many subscribers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use toolgate_actor::{Handle, SendError};
use toolgate_data_core::{plan::CallPlan, rewrite, watch::Interest};

use crate::subscription::{Message, SubscriptionActor};

/// Status call that stands for a followed task, planned against the current view of the client's gateway. Shared by the
/// subscription, which keeps it current, and the delivery.
#[derive(Debug, Clone)]
pub(crate) struct Outlook(Arc<Mutex<Arc<CallPlan>>>);

/// Task notification with its recipients.
pub(crate) struct TaskNews {
    params: Bytes,
    to: Vec<(Interest, Handle<SubscriptionActor>, Outlook)>,
}

impl Outlook {
    pub(crate) fn new(call: Arc<CallPlan>) -> Self {
        Self(Arc::new(Mutex::new(call)))
    }

    pub(crate) fn call(&self) -> Arc<CallPlan> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, call: Arc<CallPlan>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }
}

impl TaskNews {
    pub(crate) fn new(params: Bytes) -> Self {
        let to = Vec::new();
        Self { params, to }
    }

    pub(crate) fn add(&mut self, interest: Interest, one: Handle<SubscriptionActor>, how: Outlook) {
        self.to.push((interest, one, how));
    }

    /// Sends the notification to all recipients; returns the interests without a receiver.
    pub(crate) async fn tell(self) -> Vec<Interest> {
        let (mut shown, mut gone) = (BTreeMap::new(), Vec::new());
        for (interest, one, how) in self.to {
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
                    let notice = rewrite::task_news(&call, &self.params);
                    shown.insert(sight, notice.clone());
                    // Yields to other tasks between two rewrites.
                    tokio::task::yield_now().await;
                    notice
                }
            };
            let told = notice.map(|notice| one.tell(Message::Task(task.exposed.clone(), notice)));
            if matches!(told, Some(Err(SendError::Gone))) {
                gone.push(interest);
            }
        }
        gone
    }
}
