//! HTTP listener of the data plane: connection timeouts and limits, checks that need no tenant configuration, and the
//! mapping of refusals to responses. Requests are interpreted by the [`RequestHandler`].

pub mod body;
mod check;
mod connection;
pub mod connection_cache;
pub mod handler;
pub mod limits;
pub mod listener;
mod long_lived_stream;
pub mod origins;
pub mod request;
pub mod response;
mod worker_pool;

pub use body::ResponseBody;
pub use connection_cache::{CacheSlot, TokenHashCache};
pub use handler::RequestHandler;
pub use limits::ListenerLimits;
pub use listener::{Listener, ListenerOptions};
pub use origins::OriginAllowlist;
pub use request::{IncomingRequest, RequestBody};
pub use response::refusal_response;

/// Upper bound of waits in tests that only guard against a hang: far above any time that is promised.
#[cfg(test)]
pub(crate) const HANG_GUARD: std::time::Duration = std::time::Duration::from_secs(60);
