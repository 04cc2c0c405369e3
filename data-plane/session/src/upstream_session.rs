//! Sessions of this proxy with legacy servers: their actors and their registry.

mod actor;
mod registry;

pub use registry::{UPSTREAM_SESSIONS, UPSTREAM_SESSIONS_PER_PRINCIPAL, UpstreamSessionRegistry};
