//! Data plane: executes the configuration that it gets from the control plane. `pipeline.rs` shows a request from start
//! to end; [`DataPlane::start`] assembles a proxy on top of [`sync`].

mod batch;
mod call;
pub mod config_source;
mod event_limiter;
mod execute;
mod forwarding;
mod jwt_signatures;
mod pipeline;
mod policy;
mod proxy_state;
mod rate_limit;
mod release_rate;
mod request_limiter;
mod request_metrics;
mod session_header;
mod session_refusal_log;
mod start;
mod streamed;
mod transport_request;
mod verified_callers;

pub use config_source::{ConfigSource, KeySet};
pub use request_limiter::RequestLimits;
pub use start::{DataPlane, DataPlaneError, DataPlaneOptions, PeerListenerOptions};
pub use toolgate_egress::EgressPolicy;
pub use toolgate_ingress::{ListenerLimits, ListenerOptions};
pub use toolgate_sync::{self as sync, ProxyContext};
