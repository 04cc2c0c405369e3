//! Limiter of events and records whose number others decide.

use std::sync::atomic::{AtomicU64, Ordering};

use toolgate_model::Timestamp;

/// Limiter that admits `MAX` events in each second of the clock.
#[derive(Debug, Default)]
pub(crate) struct EventLimiter<const MAX: u8> {
    /// The second, above the number of its events in the lowest byte.
    second_and_count: AtomicU64,
}

impl<const MAX: u8> EventLimiter<MAX> {
    /// Returns `true` if another event fits into the second of `now`.
    pub(crate) fn admits(&self, now: Timestamp) -> bool {
        let second = now.0 / 1000;
        let next = |last: u64| match last >> 8 == second {
            true if last & 0xff < u64::from(MAX) => Some(last + 1),
            true => None,
            false => Some((second << 8) + 1),
        };
        let updated =
            self.second_and_count
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        updated.is_ok()
    }
}

#[cfg(test)]
mod tests;
