//! What log messages a legacy server was asked for, in one session with it: the least severe that any of its callers
//! wants, so that each of them can be given its own. It is lowered when somebody wants more, and stays there for as long
//! as the session lasts: whoever wanted more may be in the middle of a call, nobody says when they want it no longer, and
//! what is too much for others is filtered anyway. The next session starts anew.

use std::sync::atomic::{AtomicU8, Ordering};

use toolgate_mcp::object;

use crate::session::LogLevel;

/// The level of one session.
#[derive(Debug)]
pub struct Levels(AtomicU8);

/// The server is to be told this level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lowering {
    /// The level.
    pub to: LogLevel,
    before: State,
}

/// What the server was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It does not declare `logging`: it is told nothing.
    Without,
    /// Nothing, and nobody has got messages.
    Untold,
    /// Nothing, and somebody gets ordinary messages, as far as the server sends them by itself.
    Ordinary,
    /// This level.
    Told(LogLevel),
}

impl Levels {
    /// Of a session just opened with a server of these capabilities, JSON.
    pub fn of(capabilities: &str) -> Self {
        let state = match object::get(capabilities.as_bytes(), "logging") {
            Some(_) => State::Untold,
            None => State::Without,
        };
        Self(AtomicU8::new(state.pack()))
    }

    /// A call wants messages of this level; `asked` for, or as what is left to the server. What has to be done about it:
    /// by this call alone, however many want the same at once.
    pub fn want(&self, level: Option<LogLevel>, asked: bool) -> Option<Lowering> {
        let level = level?;
        let mut packed = self.0.load(Ordering::Relaxed);
        loop {
            let before = State::unpack(packed);
            let after = before.wanting(level, asked)?;
            // Nothing else is read by what it says.
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

    /// The server could not be told: whoever wants it next tries again, unless somebody wanted more meanwhile.
    pub fn untold(&self, lowering: Lowering) {
        let told = State::Told(lowering.to).pack();
        let before = lowering.before.pack();
        let _overtaken =
            self.0
                .compare_exchange(told, before, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl State {
    /// What it is once a call wants this; none if nothing changes.
    fn wanting(self, level: LogLevel, asked: bool) -> Option<Self> {
        match self {
            Self::Without => None,
            Self::Untold if asked => Some(Self::Told(level)),
            Self::Untold => Some(Self::Ordinary),
            // Who left it to the server must not get less because another asked for less.
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
