//! Memory of failed attempts to resolve credentials of which an earlier revision is held, so that calls do not wait for a control
//! plane that is gone.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::PendingKey;

/// Time after a failed attempt for which calls do not try again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Maximum number of attempts that are remembered. Further ones are made again by each call.
pub(super) const MAX_ATTEMPTS: usize = 10_000;

/// Failed attempts of the last seconds.
#[derive(Default)]
pub(super) struct FailedAttempts(Mutex<BTreeMap<PendingKey, Instant>>);

impl FailedAttempts {
    /// Remembers a failed attempt.
    pub(super) fn note(&self, key: PendingKey) {
        let mut attempts = self.attempts();
        if attempts.len() >= MAX_ATTEMPTS {
            attempts.retain(|_key, failed| failed.elapsed() < RETRY_AFTER);
        }
        if attempts.len() < MAX_ATTEMPTS || attempts.contains_key(&key) {
            attempts.insert(key, Instant::now());
        }
    }

    /// Forgets a failed attempt, which was answered after all.
    pub(super) fn forget(&self, key: &PendingKey) {
        self.attempts().remove(key);
    }

    /// Returns `true` if an attempt has failed in the last seconds.
    pub(super) fn is_recent(&self, key: &PendingKey) -> bool {
        let failed = self.attempts().get(key).copied();
        failed.is_some_and(|failed| failed.elapsed() < RETRY_AFTER)
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<PendingKey, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
