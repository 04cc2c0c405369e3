//! Log level set on one session with a legacy server: the least severe level requested by any of its callers. Each
//! caller's messages are filtered afterwards. The level is only ever lowered and lasts as long as the session: a
//! caller that requested it may be in the middle of a call, and callers do not announce when they no longer need it.
//! The next session starts without a level.

use std::sync::atomic::{AtomicU8, Ordering};

use toolgate_mcp::object;

use crate::session::LogLevel;

/// Log level of one upstream session.
#[derive(Debug)]
pub struct UpstreamLogLevel(AtomicU8);

/// Level that has to be sent to the server with `logging/setLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLevelChange {
    /// Level to set.
    pub level: LogLevel,
    previous: LogLevelState,
}

/// State of the server's log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogLevelState {
    /// The server does not declare `logging`; no level is sent to it.
    Unsupported,
    /// No level was sent, and no caller receives messages.
    Unset,
    /// No level was sent, and a caller receives the messages that the server sends by default.
    ServerDefault,
    /// This level was sent.
    Set(LogLevel),
}

impl UpstreamLogLevel {
    /// Creates the state for a new session. `capabilities` is the server's capabilities object, JSON.
    pub fn new(capabilities: &str) -> Self {
        let state = match object::get(capabilities.as_bytes(), "logging") {
            Some(_) => LogLevelState::Unset,
            None => LogLevelState::Unsupported,
        };
        Self(AtomicU8::new(state.pack()))
    }

    /// Registers that a call wants messages of this level. `asked` is `true` if the client set the level, and `false`
    /// if it left the level to the server. Returns the level to send; of concurrent callers, only one gets it.
    pub fn request(&self, level: Option<LogLevel>, asked: bool) -> Option<LogLevelChange> {
        let level = level?;
        let mut packed = self.0.load(Ordering::Relaxed);
        loop {
            let before = LogLevelState::unpack(packed);
            let after = before.after_request(level, asked)?;
            // No other memory is published by this value, so relaxed ordering suffices.
            let step = self.0.compare_exchange_weak(
                packed,
                after.pack(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match (step, after) {
                (Ok(_), LogLevelState::Set(to)) => {
                    return Some(LogLevelChange {
                        level: to,
                        previous: before,
                    });
                }
                (
                    Ok(_),
                    LogLevelState::Unsupported
                    | LogLevelState::Unset
                    | LogLevelState::ServerDefault,
                ) => return None,
                (Err(now), _) => packed = now,
            }
        }
    }

    /// Reverts a level that could not be sent, so that the next caller tries again. Does nothing if a lower level was
    /// requested meanwhile.
    pub fn revert(&self, lowering: LogLevelChange) {
        let told = LogLevelState::Set(lowering.level).pack();
        let before = lowering.previous.pack();
        let _overtaken =
            self.0
                .compare_exchange(told, before, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl LogLevelState {
    /// Returns the state after a call requests this level, or `None` if it does not change.
    fn after_request(self, level: LogLevel, asked: bool) -> Option<Self> {
        match self {
            Self::Unsupported => None,
            Self::Unset if asked => Some(Self::Set(level)),
            Self::Unset => Some(Self::ServerDefault),
            // A caller that left the level to the server must not get less because another caller asks for less.
            Self::ServerDefault => asked.then_some(Self::Set(level.min(LogLevel::Info))),
            Self::Set(told) => (level < told).then_some(Self::Set(level)),
        }
    }

    fn pack(self) -> u8 {
        match self {
            Self::Set(level) => level as u8,
            Self::Unsupported => u8::MAX,
            Self::Unset => u8::MAX - 1,
            Self::ServerDefault => u8::MAX - 2,
        }
    }

    fn unpack(packed: u8) -> Self {
        const UNTOLD: u8 = u8::MAX - 1;
        const ORDINARY: u8 = u8::MAX - 2;
        match packed {
            UNTOLD => Self::Unset,
            ORDINARY => Self::ServerDefault,
            told => match LogLevel::ALL.get(usize::from(told)) {
                Some(level) => Self::Set(*level),
                None => Self::Unsupported,
            },
        }
    }
}

#[cfg(test)]
mod tests;
