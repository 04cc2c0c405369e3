//! Sessions of legacy clients: their actors, their registry, and the sessions that were terminated.

mod actor;
mod registry;
mod terminated_sessions;

pub use actor::{DEBOUNCE_DELAY, KEEP_ALIVE_INTERVAL, NOTICE_INTERVAL, SESSION_IDLE_TIMEOUT};
pub(crate) use actor::{SessionActor, SessionMessage, StreamTiming};
pub use registry::{SESSIONS, SESSIONS_PER_PRINCIPAL, SessionContext, SessionRegistry};
pub use terminated_sessions::{TERMINATED_SESSIONS, TERMINATED_SESSIONS_PER_PRINCIPAL};
