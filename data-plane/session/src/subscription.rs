//! Subscriptions of modern clients (`subscriptions/listen`): their actors and their registry.

mod actor;
mod registry;
mod subscriber;
mod task_subscriptions;

pub use registry::{
    SUBSCRIPTIONS, SUBSCRIPTIONS_PER_PRINCIPAL, SubscriptionRegistry, SubscriptionRequest,
};
