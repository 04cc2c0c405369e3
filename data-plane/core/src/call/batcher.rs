//! Batches the elicitations that a legacy server sends one by one into rounds for a modern client: a server that needs
//! several answers sends its requests at once. Times are durations since any fixed origin.

use std::time::Duration;

use super::elicitation::{Elicitation, MAX_PENDING, MAX_SIZE};

/// Time that a batch stays open after its first elicitation.
pub const BATCH_WINDOW: Duration = Duration::from_millis(30);

/// Elicitations by the ids of the server, as written.
pub type ElicitationRound = Vec<(Box<str>, Elicitation)>;

/// The open batch of one call.
#[derive(Debug, Default)]
pub struct ElicitationBatcher {
    requests: ElicitationRound,
    /// Time of the first request.
    since: Duration,
}

impl ElicitationBatcher {
    /// Adds a request. Returns the round if it is full; a request that does not fit opens the next round.
    pub fn add(
        &mut self,
        id: Box<str>,
        elicitation: Elicitation,
        now: Duration,
    ) -> Option<ElicitationRound> {
        // A request that is sent twice under one id has one answer to come.
        if self.requests.iter().any(|(known, _)| *known == id) {
            return None;
        }
        let size: usize = self.requests.iter().map(|(_, known)| known.size()).sum();
        let full = size + elicitation.size() > MAX_SIZE;
        let over = full.then(|| std::mem::take(&mut self.requests));
        if self.requests.is_empty() {
            self.since = now;
        }
        self.requests.push((id, elicitation));
        let full = self.requests.len() >= MAX_PENDING;
        over.or_else(|| full.then(|| std::mem::take(&mut self.requests)))
    }

    /// Removes a request that the server withdrew.
    pub fn remove(&mut self, id: &str) {
        self.requests.retain(|(known, _)| **known != *id);
    }

    /// Returns the time at which [`Self::take_due`] is due; `None` if the batch is empty.
    pub fn due(&self) -> Option<Duration> {
        (!self.requests.is_empty()).then_some(self.since + BATCH_WINDOW)
    }

    /// Returns the round if its window is over.
    pub fn take_due(&mut self, now: Duration) -> Option<ElicitationRound> {
        self.due()
            .filter(|due| *due <= now)
            .map(|_| std::mem::take(&mut self.requests))
    }
}

#[cfg(test)]
mod tests;
