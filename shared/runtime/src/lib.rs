//! Runtime services of every role: clock and randomness, drain and readiness, signals, TLS, telemetry, the private
//! port, backoff, memory budgets and quotas, connections of listeners, liveness of threads. Nothing here depends on the
//! domain of Toolgate.

pub mod backoff;
pub mod budget;
pub mod clock;
pub mod connection;
pub mod drain;
pub mod hosts;
pub mod liveness;
pub mod memory;
pub mod metrics;
pub mod private_port;
pub mod quota;
pub mod random;
pub mod readiness;
pub mod signals;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use backoff::Backoff;
pub use budget::MemoryBudget;
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use drain::{Drain, DrainOutcome, DrainTrigger};
pub use liveness::Liveness;
pub use metrics::Metrics;
pub use quota::{Quota, QuotaPermit};
pub use readiness::Readiness;
/// Upper bound of waits in tests that only guard against a hang: far above any time that is promised.
#[cfg(test)]
pub(crate) const HANG_GUARD: std::time::Duration = std::time::Duration::from_secs(60);
