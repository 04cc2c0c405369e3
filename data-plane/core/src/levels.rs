//! Log level set on one session with a legacy server: the least severe level requested by any of its callers. Each
//! caller's messages are filtered afterwards. The level is only ever lowered and lasts as long as the session: a
//! caller that requested it may be in the middle of a call, and callers do not announce when they no longer need it.
//! The next session starts without a level.

use std::sync::atomic::{AtomicU8, Ordering};

use toolgate_mcp::object;

use crate::session::LogLevel;

/// Log level of one upstream session.
#[derive(Debug)]
pub struct Levels(AtomicU8);

/// Level that has to be sent to the server with `logging/setLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lowering {
    /// Level to set.
    pub to: LogLevel,
    before: State,
}

/// State of the server's log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The server does not declare `logging`; no level is sent to it.
    Without,
    /// No level was sent, and no caller receives messages.
    Untold,
    /// No level was sent, and a caller receives the messages that the server sends by default.
    Ordinary,
    /// This level was sent.
    Told(LogLevel),
}

impl Levels {
    /// Creates the state for a new session. `capabilities` is the server's capabilities object, JSON.
    pub fn of(capabilities: &str) -> Self {
        let state = match object::get(capabilities.as_bytes(), "logging") {
            Some(_) => State::Untold,
            None => State::Without,
        };
        Self(AtomicU8::new(state.pack()))
    }

    /// Registers that a call wants messages of this level. `asked` is `true` if the client set the level, and `false`
    /// if it left the level to the server. Returns the level to send; of concurrent callers, only one gets it.
    pub fn want(&self, level: Option<LogLevel>, asked: bool) -> Option<Lowering> {
        let level = level?;
        let mut packed = self.0.load(Ordering::Relaxed);
        loop {
            let before = State::unpack(packed);
            let after = before.wanting(level, asked)?;
            // No other memory is published by this value, so relaxed ordering suffices.
            let step = self.0.compare_exchange_weak(
                packed,
                after.pack(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match (step, after) {
                (Ok(_), State::Told(to)) => return Some(Lowering { to, before }),
                (Ok(_), State::Without | State::Untold | State::Ordinary) => return None,
                (Err(now), _) => packed = now,
            }
        }
    }

    /// Reverts a level that could not be sent, so that the next caller tries again. Does nothing if a lower level was
    /// requested meanwhile.
    pub fn untold(&self, lowering: Lowering) {
        let told = State::Told(lowering.to).pack();
        let before = lowering.before.pack();
        let _overtaken =
            self.0
                .compare_exchange(told, before, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl State {
    /// Returns the state after a call requests this level, or `None` if it does not change.
    fn wanting(self, level: LogLevel, asked: bool) -> Option<Self> {
        match self {
            Self::Without => None,
            Self::Untold if asked => Some(Self::Told(level)),
            Self::Untold => Some(Self::Ordinary),
            // A caller that left the level to the server must not get less because another caller asks for less.
            Self::Ordinary => asked.then_some(Self::Told(level.min(LogLevel::Info))),
            Self::Told(told) => (level < told).then_some(Self::Told(level)),
        }
    }

    fn pack(self) -> u8 {
        match self {
            Self::Told(level) => level as u8,
            Self::Without => u8::MAX,
            Self::Untold => u8::MAX - 1,
            Self::Ordinary => u8::MAX - 2,
        }
    }

    fn unpack(packed: u8) -> Self {
        const UNTOLD: u8 = u8::MAX - 1;
        const ORDINARY: u8 = u8::MAX - 2;
        match packed {
            UNTOLD => Self::Untold,
            ORDINARY => Self::Ordinary,
            told => match LogLevel::ALL.get(usize::from(told)) {
                Some(level) => Self::Told(*level),
                None => Self::Without,
            },
        }
    }
}

#[cfg(test)]
mod tests;
