//! Of what one proxy keeps open, how much is one principal's: nobody keeps the others out by opening all that there may be.

use crate::{
    inflight::IN_FLIGHT_PER_PRINCIPAL, links::LINKS_PER_PRINCIPAL,
    listeners::LISTENERS_PER_PRINCIPAL, parking::PARKED_PER_PRINCIPAL,
    questions::QUESTIONS_PER_PRINCIPAL, sessions::SESSIONS_PER_PRINCIPAL,
    subscriptions::SUBSCRIPTIONS_PER_PRINCIPAL,
};

/// How many of each kind one principal may have.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Sessions of legacy clients of which something is remembered.
    pub sessions: usize,
    /// Streams on which modern clients listen for changes.
    pub subscriptions: usize,
    /// Calls that stand still until a modern client has answered.
    pub parked: usize,
    /// Questions that wait for legacy clients.
    pub questions: usize,
    /// Sessions with legacy servers.
    pub links: usize,
    /// Feeds of changes of servers.
    pub listeners: usize,
    /// Calls of legacy clients, of those that are counted.
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
