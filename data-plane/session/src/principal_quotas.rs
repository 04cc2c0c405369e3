//! Quotas per principal: none can exhaust what a proxy can keep open.

use crate::{
    cancellable_calls::CANCELLABLE_CALLS_PER_PRINCIPAL, change_feed::CHANGE_FEEDS_PER_PRINCIPAL,
    client_session::SESSIONS_PER_PRINCIPAL, elicitations::ELICITATIONS_PER_PRINCIPAL,
    subscription::SUBSCRIPTIONS_PER_PRINCIPAL, suspended_call::SUSPENDED_CALLS_PER_PRINCIPAL,
    upstream_session::UPSTREAM_SESSIONS_PER_PRINCIPAL,
};

/// Maximum number of each kind per principal.
#[derive(Debug, Clone, Copy)]
pub struct PrincipalQuotas {
    /// Sessions of legacy clients with state.
    pub sessions: usize,
    /// Subscription streams of modern clients.
    pub subscriptions: usize,
    /// Calls that are suspended until a modern client has answered.
    pub suspended_calls: usize,
    /// Server requests that wait for legacy clients.
    pub server_requests: usize,
    /// Sessions with legacy servers.
    pub upstream_sessions: usize,
    /// Change feeds of servers.
    pub change_feeds: usize,
    /// Calls of legacy clients in flight, as far as they are counted per principal.
    pub cancellable_calls: usize,
}

impl Default for PrincipalQuotas {
    fn default() -> Self {
        Self {
            sessions: SESSIONS_PER_PRINCIPAL,
            subscriptions: SUBSCRIPTIONS_PER_PRINCIPAL,
            suspended_calls: SUSPENDED_CALLS_PER_PRINCIPAL,
            server_requests: ELICITATIONS_PER_PRINCIPAL,
            upstream_sessions: UPSTREAM_SESSIONS_PER_PRINCIPAL,
            change_feeds: CHANGE_FEEDS_PER_PRINCIPAL,
            cancellable_calls: CANCELLABLE_CALLS_PER_PRINCIPAL,
        }
    }
}
