//! Cache of look-ups of names that a forward proxy resolves too. Such a name is looked up for vetting only, and often has no
//! address here: without a cache, each connection waits for the same answer. The system's resolver passes no time to live on,
//! so an answer, also that there is no address, is kept for a short time. An error, which may pass, is kept for a shorter time,
//! and a timeout is an answer only for the connections that waited for it.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, error::Elapsed},
};

/// Time for which an answer is used.
const RETENTION: Duration = Duration::from_secs(30);

/// Time for which an error of the resolver is used. The system's resolver reports a name that does not exist and a failure
/// that passes alike.
const ERROR_RETENTION: Duration = Duration::from_secs(2);

/// Maximum number of names.
const MAX_NAMES: usize = 1024;

/// Answers by name. A name is looked up once at a time.
#[derive(Debug, Default)]
pub(crate) struct NameCache {
    names: Mutex<BTreeMap<Box<str>, Arc<CachedName>>>,
}

/// Look-up of one name, and its latest answer.
#[derive(Debug, Default)]
struct CachedName {
    answer: AsyncMutex<Option<NameAnswer>>,
}

#[derive(Debug, Clone)]
struct NameAnswer {
    found_at: Instant,
    retention: Duration,
    /// Empty if no address is known.
    addresses: Arc<[IpAddr]>,
}

/// Outcome of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameLookUp {
    /// Addresses; empty if the name has none.
    Found(Vec<IpAddr>),
    /// Error of the resolver.
    Failed,
    /// No answer in time.
    TimedOut,
}

impl NameCache {
    /// Returns the addresses of `name`; empty if none is known. `look_up` runs if no answer is known. Callers that wait while
    /// it runs get its answer too.
    pub(crate) async fn get(
        &self,
        name: &str,
        look_up: impl Future<Output = NameLookUp>,
    ) -> Arc<[IpAddr]> {
        let asked_at = Instant::now();
        let cached = self.entry(name);
        let mut answer = cached.answer.lock().await;
        let is_usable = |known: &&NameAnswer| known.is_fresh() || asked_at < known.found_at;
        if let Some(known) = answer.as_ref().filter(is_usable) {
            return Arc::clone(&known.addresses);
        }
        let outcome = look_up.await;
        let retention = outcome.retention();
        let addresses: Arc<[IpAddr]> = outcome.into_addresses().into();
        *answer = Some(NameAnswer {
            found_at: Instant::now(),
            retention,
            addresses: Arc::clone(&addresses),
        });
        addresses
    }

    fn entry(&self, name: &str) -> Arc<CachedName> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        if names.len() >= MAX_NAMES {
            names.retain(|_, cached| cached.is_in_use());
        }
        let cached = Arc::<CachedName>::default();
        // With as many names in use, another one is looked up each time.
        if names.len() < MAX_NAMES {
            names.insert(name.into(), Arc::clone(&cached));
        }
        cached
    }
}

impl CachedName {
    /// Returns `true` if the name is being looked up, or has an answer that is used.
    fn is_in_use(&self) -> bool {
        let answer = self.answer.try_lock();
        answer.map_or(true, |answer| {
            answer.as_ref().is_some_and(NameAnswer::is_fresh)
        })
    }
}

impl NameAnswer {
    fn is_fresh(&self) -> bool {
        self.found_at.elapsed() < self.retention
    }
}

impl NameLookUp {
    fn retention(&self) -> Duration {
        match self {
            Self::Found(_) => RETENTION,
            Self::Failed => ERROR_RETENTION,
            Self::TimedOut => Duration::ZERO,
        }
    }

    fn into_addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Found(addresses) => addresses,
            Self::Failed | Self::TimedOut => Vec::new(),
        }
    }
}

impl From<Result<io::Result<Vec<IpAddr>>, Elapsed>> for NameLookUp {
    fn from(resolved: Result<io::Result<Vec<IpAddr>>, Elapsed>) -> Self {
        match resolved {
            Ok(Ok(addresses)) => Self::Found(addresses),
            Ok(Err(_error)) => Self::Failed,
            Err(_elapsed) => Self::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests;
