//! The round that a modern client is asked, out of what a legacy server asks one by one: a server that asks several things
//! asks them at once. Time comes in as what has passed since any one moment.

use std::time::Duration;

use crate::asking::{LARGEST, OPEN, Question};

/// How long more questions are waited for after the first one.
pub const GATHER: Duration = Duration::from_millis(30);

/// Questions by the server's ids, as written.
pub type Round = Vec<(Box<str>, Question)>;

/// The round that is being gathered.
#[derive(Debug, Default)]
pub struct Gathering {
    questions: Round,
    /// Of the first of them.
    since: Duration,
}

impl Gathering {
    /// The server asks. The round, if there is room for no more in it; what had none is the first of the next one.
    pub fn asked(&mut self, id: Box<str>, question: Question, now: Duration) -> Option<Round> {
        // Asked twice under one id it has one answer to come.
        if self.questions.iter().any(|(known, _)| *known == id) {
            return None;
        }
        let size: usize = self.questions.iter().map(|(_, known)| known.size()).sum();
        let full = size + question.size() > LARGEST;
        let over = full.then(|| std::mem::take(&mut self.questions));
        if self.questions.is_empty() {
            self.since = now;
        }
        self.questions.push((id, question));
        let full = self.questions.len() >= OPEN;
        over.or_else(|| full.then(|| std::mem::take(&mut self.questions)))
    }

    /// The server no longer wants the answer.
    pub fn withdrawn(&mut self, id: &str) {
        self.questions.retain(|(known, _)| **known != *id);
    }

    /// When [`Self::over`] is due; none if nothing was asked.
    pub fn due(&self) -> Option<Duration> {
        (!self.questions.is_empty()).then_some(self.since + GATHER)
    }

    /// The round, if its time is over.
    pub fn over(&mut self, now: Duration) -> Option<Round> {
        self.due()
            .filter(|due| *due <= now)
            .map(|_| std::mem::take(&mut self.questions))
    }
}

#[cfg(test)]
mod tests;
