//! State of a session that is read without its actor.

use std::sync::atomic::{AtomicU8, Ordering};

use toolgate_data_core::session::{LogLevel, session_id::RANDOM_LEN};

use crate::change_feed::ResourceSubscriptions;

/// Key of a session: the random part of its id.
pub(crate) type SessionKey = [u8; RANDOM_LEN];

/// Log level and resource subscriptions of a session. They outlive a panic of its actor.
#[derive(Default)]
pub(crate) struct SessionState {
    /// Position of the level in [`LogLevel::ALL`], counted from 1; 0 if the client set none.
    level: AtomicU8,
    pub(crate) subscriptions: ResourceSubscriptions,
}

impl SessionState {
    pub(crate) fn level(&self) -> Option<LogLevel> {
        let level = usize::from(self.level.load(Ordering::Relaxed));
        LogLevel::ALL.get(level.checked_sub(1)?).copied()
    }

    pub(crate) fn store_level(&self, level: LogLevel) {
        self.level.store(level as u8 + 1, Ordering::Relaxed);
    }
}
