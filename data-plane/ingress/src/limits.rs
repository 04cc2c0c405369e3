//! Limits and timeouts of the listener.
//!
//! A client that exceeds a limit gets the error response that HTTP defines for it, or is disconnected if there is none.

use std::time::Duration;

use toolgate_runtime::connection::{CLIENT_LISTENER_SHARE, ConnectionLimits};

/// Size in bytes up to which request bodies are not charged to the budget: the limit on concurrent requests bounds
/// them.
pub const SMALL_BODY: usize = 4 * 1024;

/// Limits per connection and for all connections together.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// Limits of connections.
    pub connection: ConnectionLimits,
    /// Timeout of a whole request body.
    pub body_timeout: Duration,
    /// Maximum number of header fields of a request.
    pub headers: usize,
    /// Maximum size of a request head, in bytes.
    pub header_bytes: usize,
    /// Maximum size of a request body, in bytes.
    pub body_bytes: usize,
    /// Maximum size of all request bodies in memory together, in bytes, beyond [`SMALL_BODY`] each.
    pub total_body_bytes: usize,
    /// Maximum number of concurrent requests on one HTTP/2 connection.
    pub streams: u32,
    /// HTTP/2 flow-control window of a stream, in bytes.
    pub stream_window: u32,
    /// HTTP/2 flow-control window of a connection, in bytes.
    pub connection_window: u32,
    /// Maximum number of HTTP/2 streams that a client may open and reset before the server has accepted them.
    pub pending_resets: usize,
    /// Maximum number of HTTP/2 streams that the server resets because of protocol errors of the client.
    pub local_resets: usize,
    /// Interval between HTTP/2 pings, and timeout of their acknowledgement.
    pub ping_interval: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connection: ConnectionLimits {
                descriptor_share: CLIENT_LISTENER_SHARE,
                ..ConnectionLimits::default()
            },
            body_timeout: Duration::from_secs(120),
            headers: 64,
            header_bytes: 32 * 1024,
            body_bytes: 4 * 1024 * 1024,
            total_body_bytes: 256 * 1024 * 1024,
            streams: 100,
            stream_window: 64 * 1024,
            connection_window: 1024 * 1024,
            pending_resets: 20,
            local_resets: 256,
            ping_interval: Duration::from_secs(20),
        }
    }
}
