//! Number of serving proxies, by which every proxy divides rate limits. It is counted from the status records of the
//! proxies at all control planes, and is sent beside the snapshot: a snapshot does not depend on observations of
//! proxies.

use std::time::Duration;

use toolgate_model::Timestamp;

use crate::state::StoreState;

/// Time for which a smaller count has to last before proxies are told. A proxy that reconnects, or moves to another
/// control plane, is missing from the count for a moment; if the others took over its share at once, all together would
/// serve more than a limit permits. A larger count is sent at once.
pub const SHRINK_DELAY: Duration = Duration::from_secs(5);

/// Tracks the count that one proxy was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetShareTracker {
    /// Count sent last; 0 before the first.
    sent: u32,
    /// Count at the last update.
    counted: u32,
    /// Time since which the count has been smaller than `sent`.
    smaller_since: Option<Timestamp>,
}

/// Returns the number of proxies with a push stream at any control plane; at least one, the proxy that asks.
pub fn serving_proxies(state: &StoreState, now: Timestamp) -> u32 {
    let connected = state.proxies.iter();
    let connected = connected.filter(|(_, proxy)| super::is_connected(proxy, now));
    u32::try_from(connected.count()).unwrap_or(u32::MAX).max(1)
}

impl FleetShareTracker {
    /// Takes the current count. Returns the count to send, if one has to be sent.
    pub fn update(&mut self, count: u32, now: Timestamp) -> Option<u32> {
        self.counted = count;
        if count >= self.sent {
            self.smaller_since = None;
            let has_grown = count > self.sent;
            self.sent = count;
            return has_grown.then_some(count);
        }
        let since = *self.smaller_since.get_or_insert(now);
        if now.since(since) < SHRINK_DELAY {
            return None;
        }
        self.smaller_since = None;
        self.sent = count;
        Some(count)
    }

    /// Returns `true` if `count` differs from the count of the last update.
    pub fn differs(&self, count: u32) -> bool {
        self.counted != count
    }

    /// Returns the time until the next [`update`](Self::update) if no count changes before.
    pub fn next_update_in(&self, now: Timestamp) -> Option<Duration> {
        let due = self.smaller_since?.after(SHRINK_DELAY);
        Some(due.since(now))
    }
}

#[cfg(test)]
mod tests;
