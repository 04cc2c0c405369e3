//! Transport to servers. [`UpstreamRegistry`] holds an upstream per server with its endpoint, connection pool, circuit
//! breaker and bulkhead; [`UpstreamClient`] sends a call and returns it as an [`InFlightCall`]; [`FeedNetwork`] opens
//! change feeds. What the messages of a call mean is decided by [`CallMachine`](toolgate_data_core::call::CallMachine).

mod bulkhead;
pub mod circuit_breaker;
mod context;
mod endpoint;
mod endpoint_watch;
mod endpoints;
mod failure;
mod feed;
mod health;
mod in_flight;
mod log_level;
mod outgoing;
mod permit;
mod recovery;
mod registry;
mod responder;
mod send;
mod session;
mod session_network;
mod session_probe;
mod shared_stream;
mod subscriber;
mod upstream;

#[cfg(test)]
mod fixture;

pub use context::CallContext;
pub use endpoints::ConfiguredEndpoints;
pub use feed::FeedNetwork;
pub use health::HealthMonitor;
pub use in_flight::InFlightCall;
pub use registry::{CdnIdSource, CurrencyCheck, UpstreamOptions, UpstreamRegistry};
pub use send::{SendReport, SessionChoice, UpstreamClient};
pub use session::{MAX_CONCURRENT_REJECTIONS, UpstreamSessionHandle};
pub use session_network::SessionNetwork;
