//! Subscription of one client to one topic of a change feed.

use std::{fmt, sync::Arc};

use toolgate_actor::ActorHandle;
use toolgate_data_core::{
    ServerView,
    notify::topic_subscriptions::{ChangeTopic, InterestId},
    plan::{ResourceTarget, TaskTarget},
};
use toolgate_model::ObjectName;

use super::actor::{ChangeFeedActor, ChangeFeedMessage};

/// Subscription to the updates of a resource or the status of a task; ends on drop.
#[must_use = "notifications are delivered only until it is dropped"]
pub struct FeedSubscription {
    interest: InterestId,
    feed: ActorHandle<ChangeFeedActor>,
    server: ObjectName,
    topic: ChangeTopic,
}

/// Topic to subscribe to, with its server.
#[derive(Debug, Clone)]
pub(crate) struct FeedTopic {
    pub(crate) server: Arc<ServerView>,
    pub(crate) topic: ChangeTopic,
    /// Name of the resource or task as the client knows it.
    pub(crate) exposed: Box<str>,
}

impl FeedTopic {
    pub(crate) fn resource(target: &ResourceTarget) -> Self {
        Self {
            server: Arc::clone(&target.server),
            topic: ChangeTopic::Resource(target.original.clone()),
            exposed: target.exposed.clone(),
        }
    }

    pub(crate) fn task(target: &TaskTarget) -> Self {
        Self {
            server: Arc::clone(&target.tool.server),
            topic: ChangeTopic::Task(target.original.clone()),
            exposed: target.exposed.clone(),
        }
    }
}

impl FeedSubscription {
    pub(crate) fn new(
        interest: InterestId,
        feed: ActorHandle<ChangeFeedActor>,
        topic: &FeedTopic,
    ) -> Self {
        Self {
            interest,
            feed,
            server: topic.server.name.clone(),
            topic: topic.topic.clone(),
        }
    }

    /// Returns `true` if the topic belongs to this server.
    pub(crate) fn is_on_server(&self, server: &ObjectName) -> bool {
        self.server == *server
    }

    /// Returns `true` if the topic is this resource.
    pub(crate) fn is_for_resource(&self, target: &ResourceTarget) -> bool {
        let is = |uri: &str| matches!(&self.topic, ChangeTopic::Resource(own) if **own == *uri);
        self.server == target.server.name && is(&target.original)
    }
}

impl Drop for FeedSubscription {
    fn drop(&mut self) {
        // If the actor's mailbox is full, it notices at the next delivery that the subscriber is gone.
        let _busy_or_gone = self
            .feed
            .tell(ChangeFeedMessage::Unsubscribe(self.interest));
    }
}

impl fmt::Debug for FeedSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedSubscription({})", self.interest.0)
    }
}
