//! Change feeds of servers: their actors, their registry, and the delivery of changes to subscribers.

mod actor;
mod batching;
mod feed_subscription;
mod feed_tasks;
mod registry;
mod resource_subscriptions;
mod subscriber;
mod task_notification;

pub use feed_subscription::FeedSubscription;
pub(crate) use feed_subscription::FeedTopic;
pub(crate) use registry::SubscriberContext;
pub use registry::{CHANGE_FEEDS, CHANGE_FEEDS_PER_PRINCIPAL, ChangeFeeds};
pub(crate) use resource_subscriptions::ResourceSubscriptions;
pub(crate) use subscriber::{DeliveryOutcome, Subscriber, SubscriberNotification, TaskStatusCall};
