//! Stateful part of the data plane, mostly actors. Each kind of actor has a folder with its registry; registries depend
//! on actors, and sessions and subscriptions on change feeds.
//!
//! [`SessionRegistry`] holds the sessions of legacy clients, [`UpstreamSessionRegistry`] the proxy's sessions with
//! legacy servers, [`SubscriptionRegistry`] and [`ChangeFeeds`] the subscriptions of clients and the feeds that serve
//! them. Further modules hold suspended calls, open server requests and calls in flight.
//!
//! State that requests need is read without a mailbox. Messages carry changes, and the only payloads among them are
//! notifications.

mod cancellable_calls;
mod change_feed;
mod client_session;
mod elicitations;
mod principal_quotas;
mod registration;
mod sharded_map;
mod stream;
mod stream_timing;
mod subscription;
mod suspended_call;
/// Sessions with legacy servers.
mod upstream_session;

pub use cancellable_calls::{
    CANCELLABLE_CALLS, CANCELLABLE_CALLS_PER_PRINCIPAL, CancelHandle, CancellableCallGuard,
    CancellableCalls,
};
pub use change_feed::{CHANGE_FEEDS, CHANGE_FEEDS_PER_PRINCIPAL, ChangeFeeds, FeedSubscription};
pub use client_session::{
    SESSION_IDLE_TIMEOUT, SESSIONS, SESSIONS_PER_PRINCIPAL, SessionContext, SessionRegistry,
    TERMINATED_SESSIONS, TERMINATED_SESSIONS_PER_PRINCIPAL,
};
pub use elicitations::{
    AnswerRecipient, ELICITATIONS, ELICITATIONS_PER_PRINCIPAL, ElicitationRegistration,
    ElicitationRegistry,
};
pub use principal_quotas::PrincipalQuotas;
pub use stream::{STREAM_QUEUE, STREAM_QUEUE_BYTES, SessionEventStream};
pub use stream_timing::{DEBOUNCE_DELAY, KEEP_ALIVE_INTERVAL, NOTICE_INTERVAL};
pub use subscription::{
    SUBSCRIPTIONS, SUBSCRIPTIONS_PER_PRINCIPAL, SubscriptionRegistry, SubscriptionRequest,
};
pub use suspended_call::{SUSPENDED_CALLS, SUSPENDED_CALLS_PER_PRINCIPAL, SuspendedCalls};
pub use upstream_session::{
    UPSTREAM_SESSIONS, UPSTREAM_SESSIONS_PER_PRINCIPAL, UpstreamSessionRegistry,
};

#[cfg(test)]
mod fixture;
