//! Connections to the other proxies of the fleet.
//!
//! The state of a session is held by the proxy that created it. A request of the session that arrives at another proxy
//! is forwarded to the owning proxy, so a load balancer needs no affinity. If the owning proxy cannot be reached, the
//! session is rebuilt from its id.
//!
//! Peers authenticate each other by certificates of the fleet only; the owning proxy authenticates the caller again.

mod connection;
mod connector;
mod forwarded_request;
mod peers;

pub use forwarded_request::ForwardedRequest;
pub use peers::{ForwardError, Peers};
