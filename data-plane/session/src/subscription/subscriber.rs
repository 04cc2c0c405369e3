//! Delivery of resource updates and task status to a subscription.

use toolgate_actor::ActorHandle;

use super::actor::{SubscriptionActor, SubscriptionMessage};
use crate::change_feed::{DeliveryOutcome, Subscriber, SubscriberNotification, TaskStatusCall};

/// Subscription as the subscriber of one task.
pub(crate) struct TaskSubscriber {
    pub(crate) subscription: ActorHandle<SubscriptionActor>,
    pub(crate) status_call: TaskStatusCall,
}

impl Subscriber for ActorHandle<SubscriptionActor> {
    fn notify(&self, notification: SubscriberNotification) -> DeliveryOutcome {
        let message = match notification {
            SubscriberNotification::ResourceUpdated(uri) => SubscriptionMessage::Updated(uri),
            SubscriberNotification::TaskStatus { task, params } => {
                SubscriptionMessage::Task(task, params)
            }
        };
        self.tell(message).into()
    }
}

impl Subscriber for TaskSubscriber {
    fn notify(&self, notification: SubscriberNotification) -> DeliveryOutcome {
        self.subscription.notify(notification)
    }

    fn status_call(&self) -> Option<&TaskStatusCall> {
        Some(&self.status_call)
    }
}
