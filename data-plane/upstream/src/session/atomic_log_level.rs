//! Log level of one upstream session, shared by concurrent calls. [`UpstreamLogLevel`] decides each transition.

use std::sync::atomic::{AtomicU8, Ordering};

use toolgate_data_core::session::{
    LogLevel,
    upstream_log_level::{LogLevelChange, UpstreamLogLevel},
};

/// Encoding of the states without a level. The states with a level are encoded as its position in [`LogLevel::ALL`].
const UNSUPPORTED: u8 = u8::MAX;
const UNSET: u8 = u8::MAX - 1;
const SERVER_DEFAULT: u8 = u8::MAX - 2;

/// [`UpstreamLogLevel`] that is changed atomically. Its value publishes no other memory, so that relaxed ordering
/// suffices.
#[derive(Debug)]
pub(crate) struct AtomicLogLevel(AtomicU8);

impl AtomicLogLevel {
    pub(crate) fn new(state: UpstreamLogLevel) -> Self {
        Self(AtomicU8::new(encode(state)))
    }

    /// Registers that a call requests messages of this level. `explicit` is `true` if the client set the level, and
    /// `false` if it left the level to the server. Returns the level to send; of concurrent callers, only one gets it.
    pub(crate) fn request(
        &self,
        level: Option<LogLevel>,
        explicit: bool,
    ) -> Option<LogLevelChange> {
        let level = Some(level?);
        let mut change = None;
        self.update(|state| {
            let next;
            (next, change) = state.request(level, explicit);
            next
        });
        change
    }

    /// Reverts a level that could not be sent, so that the next caller tries again. Does nothing if a lower level was
    /// requested meanwhile.
    pub(crate) fn revert(&self, change: LogLevelChange) {
        self.update(|state| state.revert(change));
    }

    /// Applies the transition, again if the state changes meanwhile. A transition to the same state writes nothing.
    fn update(&self, mut transition: impl FnMut(UpstreamLogLevel) -> UpstreamLogLevel) {
        let step = |code| {
            let state = decode(code);
            let next = transition(state);
            (next != state).then(|| encode(next))
        };
        let _unchanged = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }
}

fn encode(state: UpstreamLogLevel) -> u8 {
    match state {
        UpstreamLogLevel::Set(level) => level as u8,
        UpstreamLogLevel::Unsupported => UNSUPPORTED,
        UpstreamLogLevel::Unset => UNSET,
        UpstreamLogLevel::ServerDefault => SERVER_DEFAULT,
    }
}

fn decode(code: u8) -> UpstreamLogLevel {
    match code {
        UNSET => UpstreamLogLevel::Unset,
        SERVER_DEFAULT => UpstreamLogLevel::ServerDefault,
        position => match LogLevel::ALL.get(usize::from(position)) {
            Some(level) => UpstreamLogLevel::Set(*level),
            None => UpstreamLogLevel::Unsupported,
        },
    }
}

#[cfg(test)]
mod tests;
