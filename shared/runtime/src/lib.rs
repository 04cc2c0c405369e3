//! Runtime services of every role: clock and randomness, drain and readiness, signals, TLS, telemetry, the private
//! port, backoff, memory budgets and quotas. Nothing here depends on what Toolgate does.

pub mod backoff;
pub mod budget;
pub mod clock;
pub mod drain;
pub mod memory;
pub mod metrics;
pub mod private;
pub mod random;
pub mod readiness;
pub mod signals;
pub mod tally;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use backoff::Backoff;
pub use budget::Budget;
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use drain::{Drain, DrainOutcome, Trigger};
pub use metrics::Metrics;
pub use readiness::Readiness;
pub use tally::{Taken, Tally};
