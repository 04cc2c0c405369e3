//! Intervals at which a lasting problem is logged again: each twice as long as the one before.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time after which a lasting problem is logged for the second time.
const FIRST_INTERVAL: Duration = Duration::from_secs(60);

/// Longest interval between two log entries of a lasting problem.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// Maximum number of problems that are remembered: each of several control planes may have one of its own.
const MAX_PROBLEMS: usize = 8;

/// Problems that were logged, the latest one last.
#[derive(Debug, Default)]
pub(crate) struct RepeatedProblems(Mutex<Vec<LoggedProblem>>);

#[derive(Debug)]
struct LoggedProblem {
    text: String,
    next: Instant,
    interval: Duration,
}

impl RepeatedProblems {
    /// Returns `true` if the problem is to be logged now: it is new, or its interval has passed.
    pub(crate) fn is_due(&self, text: &str, now: Instant) -> bool {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = problems.iter_mut();
        if let Some(logged) = known.find(|it| it.text == text) {
            if now < logged.next {
                return false;
            }
            logged.interval = (logged.interval * 2).min(MAX_INTERVAL);
            logged.next = now + logged.interval;
            return true;
        }
        if problems.len() == MAX_PROBLEMS {
            problems.remove(0);
        }
        problems.push(LoggedProblem {
            text: text.to_owned(),
            next: now + FIRST_INTERVAL,
            interval: FIRST_INTERVAL,
        });
        true
    }

    /// Records that there is no problem any more.
    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

#[cfg(test)]
mod tests;
