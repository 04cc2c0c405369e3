//! Connections of a listener: admission, time limits and eviction. Every listener of the process uses this module.
//!
//! [`AdmissionTable`] decides which connections are open: it is pure. [`ConnectionLimiter`] applies its decisions,
//! [`accept`] feeds it from a socket, and [`drive`] ends a connection whose peer is too slow.
//!
//! ```text
//! accept -> admit -> [TLS handshake -> identify] -> is_http2 -> ActivityIo -> drive
//! ```

mod accept;
mod activity;
mod admission;
mod drive;
mod frame_quota;
mod http;
mod limiter;
mod limits;
mod preface;

pub use accept::accept;
pub use activity::{ActivityIo, ConnectionActivity, RequestGuard};
pub use admission::{Admission, AdmissionTable, ConnectionId};
pub use drive::{DriveEnd, drive};
pub use http::{GuardedBody, RouterOptions, serve_router};
pub use limiter::{ConnectionLimiter, ConnectionPermit, ConnectionSeat, SeatGuard};
pub use limits::{CLIENT_LISTENER_SHARE, ConnectionLimits, OTHER_LISTENER_SHARE};
pub use preface::is_http2;
