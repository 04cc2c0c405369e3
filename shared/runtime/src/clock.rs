//! The only place that reads the time. Everything else is handed a [`SharedClock`], so that a test can hand it a
//! [`ManualClock`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use toolgate_model::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// What people and other machines call now.
    fn now(&self) -> Timestamp;

    /// A time that never jumps; for measuring and for deadlines.
    fn monotonic(&self) -> Instant;
}

/// How a clock is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock {
    start: Timestamp,
    origin: Instant,
    passed_millis: AtomicU64,
}

/// The machine's clock, ready to be handed around.
pub fn system() -> SharedClock {
    Arc::new(SystemClock)
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        // A machine set before 1970 gets the epoch: wrong by as much as its clock is.
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
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Arc<Self> {
        let origin = SystemClock.monotonic();
        let passed_millis = AtomicU64::new(0);
        Arc::new(Self {
            start,
            origin,
            passed_millis,
        })
    }

    /// Lets time pass.
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
