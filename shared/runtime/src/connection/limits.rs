//! Limits of the connections of one listener.

use std::time::Duration;

/// Part of the descriptors that the client listener may use: a quarter.
pub const CLIENT_LISTENER_SHARE: u64 = 4;
/// Part of the descriptors that each other listener may use: a sixteenth. A process has at most four of them (peers, push,
/// admin and private port), so that all listeners together use at most half.
pub const OTHER_LISTENER_SHARE: u64 = 16;

/// Number and time limits of connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Maximum number of open connections.
    pub connections: usize,
    /// Maximum number of open connections of one client address, or of one identity.
    pub connections_per_address: usize,
    /// Part of the descriptors of the process that the connections of this listener may use: one in so many.
    pub descriptor_share: u64,
    /// Number of connections that only identified peers can use.
    pub reserved_connections: usize,
    /// Age from which an idle connection makes room for another one of the same address.
    pub eviction_age: Duration,
    /// Timeout of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Timeout from the first byte of a request to the end of its head; also from connecting to the first request.
    pub head_timeout: Duration,
    /// Timeout of a connection without a request.
    pub idle_timeout: Duration,
    /// Timeout between two chunks of a request body on an HTTP/1 connection.
    pub body_stall_timeout: Duration,
    /// Timeout while the peer accepts no bytes. The time counts on over short pauses, until the peer has accepted what it
    /// would have at [`least_rate`](Self::least_rate).
    pub write_stall_timeout: Duration,
    /// The same while memory is short.
    pub pressed_stall_timeout: Duration,
    /// Least rate at which a peer has to accept or send a body, in bytes per second.
    pub least_rate: u32,
    /// Age after which a connection is asked to close, so that load balancers can spread again; up to a tenth is
    /// subtracted at random.
    pub max_age: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_address: 8_192,
            descriptor_share: OTHER_LISTENER_SHARE,
            reserved_connections: 0,
            eviction_age: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            body_stall_timeout: Duration::from_secs(30),
            write_stall_timeout: Duration::from_secs(60),
            pressed_stall_timeout: Duration::from_secs(5),
            least_rate: 4 * 1024,
            max_age: Duration::from_secs(3600),
        }
    }
}

impl ConnectionLimits {
    /// Returns these limits for a process that may have so many descriptors open; `None` if it may have any number.
    /// Listeners together get half of them: a request may need a connection to a server, and the process needs some of its
    /// own. Where the number of connections is lower for that, one address gets at most half of them.
    #[must_use]
    pub fn within_descriptors(mut self, descriptors: Option<u64>) -> Self {
        let most = self.connections.max(1);
        let share = descriptors.map(|all| all.checked_div(self.descriptor_share).unwrap_or(0));
        let share = share.map_or(most, |share| usize::try_from(share).unwrap_or(usize::MAX));
        let connections = share.clamp(1, most);
        if connections < self.connections {
            let half = (connections / 2).max(1);
            self.connections_per_address = self.connections_per_address.min(half);
            let reserved = self.reserved_connections.saturating_mul(connections);
            self.reserved_connections = reserved.checked_div(self.connections).unwrap_or(0);
        }
        self.connections = connections;
        self
    }
}

#[cfg(test)]
mod tests;
