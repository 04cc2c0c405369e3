//! Comparison of the clocks of two machines by messages between them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Difference of two clocks that breaks the expiry of tokens and certificates.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// Clock of one machine as compared with the clock of another, the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Time of the clock minus that of the reference, in milliseconds.
    pub ahead_ms: i64,
    /// Maximum error of the difference, in milliseconds.
    pub error_ms: u64,
}

impl ClockReading {
    /// Compares a clock that showed `sent` when a message was sent with a reference that showed `received` when the message
    /// arrived. The message took a part of `round_trip`, and it is not known which part.
    pub fn of_message(sent: Timestamp, received: Timestamp, round_trip: Duration) -> Self {
        let error = round_trip / 2;
        let sent = sent.after(error);
        let distance = sent.0.abs_diff(received.0);
        let distance = i64::try_from(distance).unwrap_or(i64::MAX);
        Self {
            ahead_ms: match sent >= received {
                true => distance,
                false => -distance,
            },
            error_ms: u64::try_from(error.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Returns the difference without its direction.
    pub fn distance(&self) -> Duration {
        Duration::from_millis(self.ahead_ms.unsigned_abs())
    }

    /// Returns the difference without its direction, in seconds, rounded to the nearest.
    pub fn distance_secs(&self) -> u64 {
        self.ahead_ms.unsigned_abs().saturating_add(500) / 1000
    }

    /// Returns `true` if the clocks certainly differ by more than [`CLOCK_TOLERANCE`].
    pub fn is_off(&self) -> bool {
        self.distance() > CLOCK_TOLERANCE.saturating_add(Duration::from_millis(self.error_ms))
    }

    /// Returns `true` if `other` says something else: one of them is off and the other is not, or both are and not alike.
    pub fn differs_from(&self, other: &Self) -> bool {
        let change = self.ahead_ms.abs_diff(other.ahead_ms);
        let error = self.error_ms.saturating_add(other.error_ms);
        let tolerated = CLOCK_TOLERANCE.saturating_add(Duration::from_millis(error));
        self.is_off() != other.is_off()
            || (self.is_off() && Duration::from_millis(change) > tolerated)
    }
}

#[cfg(test)]
mod tests;
