//! Delivery of task notifications: rewritten for each subscriber, once for subscribers with the same view. Runs outside
//! of the feed's actor, because a notification may be large and have many subscribers.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use toolgate_data_core::{notify::topic_subscriptions::InterestId, rewrite};

use super::subscriber::{DeliveryOutcome, Subscriber, SubscriberNotification};

/// Task notification with its recipients.
pub(crate) struct TaskNotification {
    params: Bytes,
    recipients: Vec<(InterestId, Arc<dyn Subscriber>)>,
}

impl TaskNotification {
    pub(crate) fn new(params: Bytes) -> Self {
        let recipients = Vec::new();
        Self { params, recipients }
    }

    pub(crate) fn add(&mut self, interest: InterestId, subscriber: Arc<dyn Subscriber>) {
        self.recipients.push((interest, subscriber));
    }

    /// Sends the notification to all recipients; returns the interests without a receiver.
    pub(crate) async fn send(self) -> Vec<InterestId> {
        let (mut rewritten, mut gone) = (BTreeMap::new(), Vec::new());
        for (interest, subscriber) in self.recipients {
            let Some(call) = subscriber.status_call().map(|status| status.call()) else {
                continue;
            };
            let Some(task) = call.target.task() else {
                continue;
            };
            let gateway = Arc::as_ptr(&call.gateway).addr();
            let client = (task.exposed.clone(), gateway, call.client.capabilities());
            let known: Option<Option<Bytes>> = rewritten.get(&client).cloned();
            let params = match known {
                Some(params) => params,
                None => {
                    let params = rewrite::task_notification_params(&call, &self.params);
                    rewritten.insert(client, params.clone());
                    // Yields to other tasks between two rewrites.
                    tokio::task::yield_now().await;
                    params
                }
            };
            let Some(params) = params else {
                continue;
            };
            let task = task.exposed.clone();
            let notification = SubscriberNotification::TaskStatus { task, params };
            if subscriber.notify(notification) == DeliveryOutcome::Gone {
                gone.push(interest);
            }
        }
        gone
    }
}
