//! How fast a stream of events is read. Ordinary streams are read as they come, and pay for it with a number that is added
//! up. One that says more than anybody follows is read in helpings, with pauses between them: what comes meanwhile gathers
//! in the socket, where it wakes nobody, and in the end the server has to wait. Nothing is lost by it.
//!
//! A machine: it is told what was taken, and what time it is where it asks for that. What it counts is what costs
//! something however small it is: events, lines that are no data of one, as far less, and pieces that are smaller than
//! [`SMALL`]. The size of a message costs nothing here: it has a bound of its own.

use std::time::Duration;

use tokio::time::Instant;

/// What any stream may say at once, however fast; the first time half as much more, since nobody knows how long it took.
const BURST: u32 = 1_000;

/// A thousand a second are taken back of what was counted.
const EACH: Duration = Duration::from_millis(1);

/// What is remembered at most: a stream that has been too fast is an ordinary one again after a second and a half of quiet.
const MOST: u32 = 2 * BURST;

/// A longer pause than this is not made.
const LONGEST: Duration = Duration::from_secs(1);

/// Pieces of fewer bytes are counted.
pub(crate) const SMALL: usize = 1024;

/// What the answer to a request counts, where answers are not to count: an event, in a piece of its own.
pub(crate) const ANSWER: u32 = 2;

/// How a stream is read that says too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Helpings {
    /// What is taken at once. More that comes in one piece makes the pause as much longer.
    size: u32,
    pause: Duration,
}

impl Helpings {
    /// Somebody waits for what comes behind it: 25,000 a second, taken a hundred times a second.
    pub(crate) const AWAITED: Self = Self {
        size: 250,
        pause: Duration::from_millis(10),
    };

    /// Nobody waits for what is on it: a thousand a second, taken ten times a second.
    pub(crate) const NEWS: Self = Self {
        size: 100,
        pause: Duration::from_millis(100),
    };
}

/// How far one stream has come.
#[derive(Debug)]
pub(crate) struct Pace {
    helpings: Helpings,
    /// What was taken, less what time has taken back until `since`.
    taken: u32,
    since: Option<Instant>,
    /// What was taken of this helping; none if it is read as it comes.
    helping: Option<u32>,
}

impl Pace {
    pub(crate) fn new(helpings: Helpings) -> Self {
        Self {
            helpings,
            taken: 0,
            since: None,
            helping: None,
        }
    }

    /// Of a stream whose bounds alone are to be tested.
    #[cfg(test)]
    pub(crate) fn endless() -> Self {
        Self::new(Helpings {
            size: u32::MAX,
            pause: EACH,
        })
    }

    /// So much was taken.
    pub(crate) fn take(&mut self, count: u32) {
        self.taken = self.taken.saturating_add(count);
        if let Some(helping) = &mut self.helping {
            *helping = helping.saturating_add(count);
        }
    }

    /// So much of it was asked for.
    pub(crate) fn forgive(&mut self, count: u32) {
        self.taken = self.taken.saturating_sub(count);
        if let Some(helping) = &mut self.helping {
            *helping = helping.saturating_sub(count);
        }
    }

    /// Whether [`Self::pause`] is to be asked before more is taken.
    pub(crate) fn is_over(&self) -> bool {
        match self.helping {
            None => self.taken >= BURST,
            Some(helping) => helping >= self.helpings.size,
        }
    }

    /// Whether it is read in helpings: one also ends where there is nothing more to take, with [`Self::pause`].
    pub(crate) fn in_helpings(&self) -> bool {
        self.helping.is_some()
    }

    /// Until when nothing is to be taken; none if it is to be read as it comes.
    pub(crate) fn pause(&mut self, now: Instant) -> Option<Instant> {
        // Of the first helping all counts that was more than the allowance.
        let helping = self.helping.unwrap_or(self.taken.saturating_sub(BURST));
        // How long it took until here is known from the first time on.
        let passed = self.since.map(|since| now.saturating_duration_since(since));
        let passed = passed.map_or(BURST / 2, |passed| {
            u32::try_from(passed.as_millis() / EACH.as_millis()).unwrap_or(MOST)
        });
        self.taken = self.taken.min(MOST).saturating_sub(passed);
        self.since = Some(now);
        // That begins at the whole allowance and ends at half of it: the clock is not read all the time.
        let least = if self.helping.is_some() {
            BURST / 2
        } else {
            BURST
        };
        if self.taken < least {
            self.helping = None;
            return None;
        }
        self.helping = Some(0);
        let times = (helping / self.helpings.size).max(1);
        Some(now + self.helpings.pause.saturating_mul(times).min(LONGEST))
    }
}

#[cfg(test)]
mod tests;
