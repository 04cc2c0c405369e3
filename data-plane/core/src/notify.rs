//! Change notifications: comparison of views, subscriptions to upstream changes, filters, and debouncing.

pub mod debouncer;
pub mod subscription;
pub mod topic_subscriptions;
pub mod view_change;
