//! Exponential backoff with full jitter, so that a fleet does not reconnect at the same time.

use std::time::Duration;

/// Delay between attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Creates a backoff with delays between zero and a ceiling that starts at `min` and doubles up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            ceiling: min,
        }
    }

    /// Returns the next delay, evenly distributed over `0..=ceiling` by `random`.
    pub fn next(&mut self, random: u64) -> Duration {
        let ceiling = u64::try_from(self.ceiling.as_millis()).unwrap_or(u64::MAX);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        Duration::from_millis(random % ceiling.saturating_add(1).max(1))
    }

    /// Resets the ceiling after a successful attempt.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

#[cfg(test)]
mod tests;
