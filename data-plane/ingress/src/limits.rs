//! Bounds of the door, each with a name. A client that runs into one is told where the protocol has a word for it,
//! and disconnected where it has none.

use std::time::Duration;

/// Bodies up to this many bytes are not counted: the bound on requests at a time bounds them.
pub const SMALL_BODY: usize = 4 * 1024;

/// What one connection, and all of them, may take.
#[derive(Debug, Clone)]
pub struct DoorLimits {
    /// From the first byte of a request to the end of its head; also from connecting to the first request.
    pub head: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Between two pieces of a request's body.
    pub body_stall: Duration,
    /// For a whole request body.
    pub body_time: Duration,
    /// While the client takes nothing of an answer.
    pub write_stall: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// After which a connection is asked to close, so that load balancers can spread again; varied by a tenth.
    pub age: Duration,
    /// Fields of one head.
    pub headers: usize,
    /// Bytes of one head.
    pub header_bytes: usize,
    /// Bytes of one request body.
    pub body: usize,
    /// Bytes of all request bodies together, beyond [`SMALL_BODY`] each.
    pub bodies: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_address: u32,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// HTTP/2 flow-control window of a stream, in bytes.
    pub stream_window: u32,
    /// HTTP/2 flow-control window of a connection, in bytes.
    pub connection_window: u32,
    /// HTTP/2 streams that a client may open and reset before we have looked at them.
    pub pending_resets: usize,
    /// HTTP/2 streams that we may have to reset for a client's faults.
    pub local_resets: usize,
    /// Between two HTTP/2 pings, and how long an answer to one may take.
    pub ping: Duration,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            body_stall: Duration::from_secs(30),
            body_time: Duration::from_secs(120),
            write_stall: Duration::from_secs(60),
            handshake: Duration::from_secs(5),
            age: Duration::from_secs(3600),
            headers: 64,
            header_bytes: 32 * 1024,
            body: 4 * 1024 * 1024,
            bodies: 256 * 1024 * 1024,
            connections: 65_536,
            connections_per_address: 8_192,
            streams: 100,
            stream_window: 64 * 1024,
            connection_window: 1024 * 1024,
            pending_resets: 20,
            local_resets: 256,
            ping: Duration::from_secs(20),
        }
    }
}
