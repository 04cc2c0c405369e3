//! Change feeds of servers: their actors, their registry, and the delivery of changes to subscribers.

mod actor;
mod batching;
mod registry;
mod resource_subscriptions;
mod task_notification;

pub(crate) use actor::Subscriber;
pub use registry::{CHANGE_FEEDS, CHANGE_FEEDS_PER_PRINCIPAL, ChangeFeeds, FeedSubscription};
pub(crate) use registry::{SubscriberContext, WatchTarget};
pub(crate) use resource_subscriptions::{
    ResourceSubscriptions, TaskSubscription, TaskSubscriptions,
};
pub(crate) use task_notification::TaskStatusCall;
