//! Subscriptions of modern clients (`subscriptions/listen`): their actors and their registry.

mod actor;
mod registry;

pub(crate) use actor::{SubscriptionActor, SubscriptionMessage};
pub(crate) use registry::SubscriptionGuard;
pub use registry::{
    SUBSCRIPTIONS, SUBSCRIPTIONS_PER_PRINCIPAL, SubscriptionRegistry, SubscriptionRequest,
};
