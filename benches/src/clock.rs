//! The monotonic clock of the benchmarks, which always measure real time.

use std::time::Instant;

/// Returns the current time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn now() -> Instant {
    Instant::now()
}
