//! Delivery of resource updates to a session.

use toolgate_actor::ActorHandle;

use super::actor::{SessionActor, SessionMessage};
use crate::change_feed::{DeliveryOutcome, Subscriber, SubscriberNotification};

impl Subscriber for ActorHandle<SessionActor> {
    fn notify(&self, notification: SubscriberNotification) -> DeliveryOutcome {
        match notification {
            SubscriberNotification::ResourceUpdated(uri) => {
                self.tell(SessionMessage::Updated(uri)).into()
            }
            // Tasks are followed by modern clients only.
            SubscriberNotification::TaskStatus { .. } => DeliveryOutcome::Delivered,
        }
    }
}
