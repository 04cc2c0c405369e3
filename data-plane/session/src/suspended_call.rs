//! Suspended calls, which wait for answers of modern clients: their actors and their registry.

mod actor;
mod registry;

pub use registry::{SUSPENDED_CALLS, SUSPENDED_CALLS_PER_PRINCIPAL, SuspendedCalls};
