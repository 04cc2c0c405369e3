//! Bearer tokens that this control plane does not know. Another control plane may just have created one, so that the
//! store is asked before it is refused. That takes a place and a read that anyone can cause with a random token, so the
//! places are apart from those of callers, and a token that the store did not have is not looked up again for a while.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use toolgate_model::TokenHash;

/// Maximum number of unknown tokens that are looked up at a time.
pub(crate) const LOOKUPS: usize = 64;

/// Time for which a token that the store did not have is refused without another look; twice that at most.
const ABSENT_FOR: Duration = Duration::from_secs(5);

/// Maximum number of absent tokens in one generation.
const ABSENT: usize = 16_384;

/// Lookups of unknown tokens.
pub(crate) struct UnknownTokens {
    places: Arc<Semaphore>,
    absent: Mutex<AbsentTokens>,
}

/// Hashes of tokens that the store did not have, in two generations. A secret is random, so that a token that is absent
/// now is not created later.
struct AbsentTokens {
    started: Instant,
    current: HashSet<TokenHash>,
    previous: HashSet<TokenHash>,
}

impl Default for UnknownTokens {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(LOOKUPS)),
            absent: Mutex::new(AbsentTokens {
                started: Instant::now(),
                current: HashSet::new(),
                previous: HashSet::new(),
            }),
        }
    }
}

impl UnknownTokens {
    /// Acquires a place for a lookup, if one is free.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Returns `true` if the store lately did not have the token.
    pub(crate) fn is_absent(&self, hash: &TokenHash) -> bool {
        let absent = self.absent();
        absent.current.contains(hash) || absent.previous.contains(hash)
    }

    /// Notes that the store does not have the token.
    pub(crate) fn note_absent(&self, hash: TokenHash) {
        self.absent().current.insert(hash);
    }

    fn absent(&self) -> MutexGuard<'_, AbsentTokens> {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        let age = absent.started.elapsed();
        if age >= ABSENT_FOR || absent.current.len() >= ABSENT {
            absent.previous = std::mem::take(&mut absent.current);
            absent.started = Instant::now();
        }
        if age >= 2 * ABSENT_FOR {
            absent.previous.clear();
        }
        absent
    }
}

#[cfg(test)]
mod tests;
