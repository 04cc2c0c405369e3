//! Sessions of legacy clients: their actors, their registry, and the sessions that were terminated.

mod actor;
mod registry;
mod state;
mod stream_guard;
mod subscriber;
mod terminated_sessions;

pub use actor::SESSION_IDLE_TIMEOUT;
pub use registry::{SESSIONS, SESSIONS_PER_PRINCIPAL, SessionContext, SessionRegistry};
pub use terminated_sessions::{TERMINATED_SESSIONS, TERMINATED_SESSIONS_PER_PRINCIPAL};
