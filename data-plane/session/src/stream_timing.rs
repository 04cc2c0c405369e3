//! Timing of the streams to clients: keep-alives and change notifications.

use std::time::Duration;

use toolgate_data_core::notify::view_change::DebounceDelay;

/// Interval of keep-alive comments on an idle stream.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Delay from a first change to its notification; further changes join it.
pub const DEBOUNCE_DELAY: Duration = Duration::from_millis(50);

/// Minimum time between two change notifications: at most 20 in ten seconds. Together with a probe's delay it stays
/// below one second.
pub const NOTICE_INTERVAL: Duration = Duration::from_millis(550);

/// Timing of keep-alives and change notifications.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamTiming {
    pub(crate) keep_alive: Duration,
    pub(crate) debounce: Duration,
    pub(crate) notice_interval: Duration,
}

impl Default for StreamTiming {
    fn default() -> Self {
        Self {
            keep_alive: KEEP_ALIVE_INTERVAL,
            debounce: DEBOUNCE_DELAY,
            notice_interval: NOTICE_INTERVAL,
        }
    }
}

impl StreamTiming {
    pub(crate) fn delay(self, delay: DebounceDelay) -> Duration {
        match delay {
            DebounceDelay::Initial => self.debounce,
            DebounceDelay::Cooldown => self.notice_interval,
        }
    }
}
