//! Quotas per principal: none can exhaust what a proxy can keep open.

use crate::{
    inflight::IN_FLIGHT_PER_PRINCIPAL, links::LINKS_PER_PRINCIPAL,
    listeners::LISTENERS_PER_PRINCIPAL, parking::PARKED_PER_PRINCIPAL,
    questions::QUESTIONS_PER_PRINCIPAL, sessions::SESSIONS_PER_PRINCIPAL,
    subscriptions::SUBSCRIPTIONS_PER_PRINCIPAL,
};

/// Maximum number of each kind per principal.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Sessions of legacy clients with state.
    pub sessions: usize,
    /// Subscription streams of modern clients.
    pub subscriptions: usize,
    /// Calls that are suspended until a modern client has answered.
    pub parked: usize,
    /// Server requests that wait for legacy clients.
    pub questions: usize,
    /// Sessions with legacy servers.
    pub links: usize,
    /// Change feeds of servers.
    pub listeners: usize,
    /// Calls of legacy clients in flight, as far as they are counted per principal.
    pub in_flight: usize,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            sessions: SESSIONS_PER_PRINCIPAL,
            subscriptions: SUBSCRIPTIONS_PER_PRINCIPAL,
            parked: PARKED_PER_PRINCIPAL,
            questions: QUESTIONS_PER_PRINCIPAL,
            links: LINKS_PER_PRINCIPAL,
            listeners: LISTENERS_PER_PRINCIPAL,
            in_flight: IN_FLIGHT_PER_PRINCIPAL,
        }
    }
}
