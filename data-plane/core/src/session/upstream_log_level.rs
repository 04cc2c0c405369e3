//! Log level set on one session with a legacy server: the least severe level requested by any of its callers. Each
//! caller's messages are filtered afterwards. The level is only ever lowered and lasts as long as the session: a
//! caller that requested it may be in the middle of a call, and callers do not announce when they no longer need it.
//! The next session starts without a level.

use toolgate_mcp::object;

use crate::session::LogLevel;

/// Log level of one upstream session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamLogLevel {
    /// The server does not declare `logging`; no level is sent to it.
    Unsupported,
    /// No level was sent, and no caller receives messages.
    Unset,
    /// No level was sent, and a caller receives the messages that the server sends by default.
    ServerDefault,
    /// This level was sent.
    Set(LogLevel),
}

/// Level that has to be sent to the server with `logging/setLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLevelChange {
    /// Level to set.
    pub level: LogLevel,
    /// State to revert to if the level cannot be sent.
    previous: UpstreamLogLevel,
}

impl UpstreamLogLevel {
    /// Creates the state for a new session. `capabilities` is the server's capabilities object, JSON.
    pub fn new(capabilities: &str) -> Self {
        match object::get(capabilities.as_bytes(), "logging") {
            Some(_) => Self::Unset,
            None => Self::Unsupported,
        }
    }

    /// Returns the state after a call requests messages of this level, and the level to send if it has changed.
    /// `explicit` is `true` if the client set the level, and `false` if it left the level to the server.
    #[must_use]
    pub fn request(
        self,
        level: Option<LogLevel>,
        explicit: bool,
    ) -> (Self, Option<LogLevelChange>) {
        let next = level.map_or(self, |level| self.after_request(level, explicit));
        let change = match next {
            Self::Set(level) if next != self => Some(LogLevelChange {
                level,
                previous: self,
            }),
            Self::Set(_) | Self::Unsupported | Self::Unset | Self::ServerDefault => None,
        };
        (next, change)
    }

    /// Returns the state after a level could not be sent, so that the next caller tries again. The state does not
    /// change if a lower level was requested meanwhile.
    #[must_use]
    pub fn revert(self, change: LogLevelChange) -> Self {
        match self {
            Self::Set(level) if level == change.level => change.previous,
            Self::Set(_) | Self::Unsupported | Self::Unset | Self::ServerDefault => self,
        }
    }

    fn after_request(self, level: LogLevel, explicit: bool) -> Self {
        match self {
            Self::Unsupported => Self::Unsupported,
            Self::Unset if explicit => Self::Set(level),
            Self::Unset => Self::ServerDefault,
            // A caller that left the level to the server must not get less because another caller requests less.
            Self::ServerDefault if explicit => Self::Set(level.min(LogLevel::Info)),
            Self::ServerDefault => Self::ServerDefault,
            Self::Set(current) => Self::Set(level.min(current)),
        }
    }
}

#[cfg(test)]
mod tests;
