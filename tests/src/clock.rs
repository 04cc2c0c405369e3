//! Wall-clock time for scenarios: every wait has a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Upper bound of every wait that only guards against a hang. It is far above any figure that is promised, so that the load
/// of the machine decides no test; what is promised within a time is asserted by `make drill`, through [`within`].
pub const HANG_GUARD: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Current time of the monotonic clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "a scenario measures real processes"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Current time of the wall clock, in seconds since the Unix epoch.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "tokens of an issuer carry the time of real processes"
)]
pub fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// True if absolute figures are asserted too: `make drill` sets this, on a machine that does nothing else.
#[must_use]
pub fn is_drill() -> bool {
    std::env::var_os("TOOLGATE_TEST_DRILL").is_some()
}

/// Returns `figure` in a drill and [`HANG_GUARD`] otherwise: the deadline of something that has to happen in any case, and
/// within `figure` on a quiet machine.
#[must_use]
pub fn within(figure: Duration) -> Duration {
    if is_drill() { figure } else { HANG_GUARD }
}

/// Looks at `probe` until it succeeds; fails with its last error after `within`.
pub async fn eventually<T, F>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = now();
    loop {
        let left = within.saturating_sub(start.elapsed());
        let last = match tokio::time::timeout(left.max(POLL_INTERVAL), probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer"),
        };
        if start.elapsed() >= within {
            return Err(last).with_context(|| format!("not within {within:?}: {what}"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Fails if `probe` fails even once during `period`; returns the number of probes.
pub async fn throughout<F>(
    what: &str,
    period: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<u64>
where
    F: Future<Output = Result<()>>,
{
    let start = now();
    let mut asked = 0;
    while start.elapsed() < period {
        if let Err(error) = probe().await {
            bail!(
                "{what}: failed {:?} after the start: {error:#}",
                start.elapsed()
            );
        }
        asked += 1;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(asked)
}
