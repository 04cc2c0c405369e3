//! The only module that reads the time. All other code receives a [`SharedClock`], so that tests can pass a
//! [`ManualClock`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use toolgate_model::Timestamp;

/// Source of time.
pub trait Clock: Send + Sync {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;

    /// Returns the monotonic time, for measurements and deadlines.
    fn monotonic(&self) -> Instant;
}

/// Shared reference to a clock.
pub type SharedClock = Arc<dyn Clock>;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Clock that advances only when told to.
#[derive(Debug)]
pub struct ManualClock {
    start: Timestamp,
    origin: Instant,
    passed_millis: AtomicU64,
}

/// Returns the system's clock as a [`SharedClock`].
pub fn system() -> SharedClock {
    Arc::new(SystemClock)
}

/// Converts a timestamp for functions of other crates, such as the formatting of HTTP dates.
pub fn to_system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.0)
}

/// Formats a time as in RFC 3339, in whole seconds of UTC.
pub fn rfc3339(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_out_of_range) => format!("{seconds} s after 1970"),
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        // A system time before 1970 yields the epoch.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp(millis(since.unwrap_or_default()))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the monotonic clock"
    )]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

impl ManualClock {
    /// Creates a clock that shows `start`.
    pub fn new(start: Timestamp) -> Arc<Self> {
        let origin = SystemClock.monotonic();
        let passed_millis = AtomicU64::new(0);
        Arc::new(Self {
            start,
            origin,
            passed_millis,
        })
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.passed_millis.fetch_add(millis(by), Ordering::SeqCst);
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.passed_millis.load(Ordering::SeqCst))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.start.after(self.passed())
    }

    fn monotonic(&self) -> Instant {
        self.origin + self.passed()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
