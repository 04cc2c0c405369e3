//! Cache of look-ups of names that a forward proxy resolves too. Such a name is looked up for vetting only, and often has no
//! address here: without a cache, each connection waits for the same answer. The system's resolver passes no time to live on,
//! so an answer, also that there is none, is kept for a short time.

use std::{
    collections::BTreeMap,
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// Time for which an answer is used.
const RETENTION: Duration = Duration::from_secs(30);

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
    /// Empty if the name has no address.
    addresses: Arc<[IpAddr]>,
}

impl NameCache {
    /// Returns the addresses of `name`; empty if it has none. `look_up` runs if no answer is known.
    pub(crate) async fn get(
        &self,
        name: &str,
        look_up: impl Future<Output = Vec<IpAddr>>,
    ) -> Arc<[IpAddr]> {
        let cached = self.entry(name);
        let mut answer = cached.answer.lock().await;
        if let Some(known) = answer.as_ref().filter(|known| known.is_fresh()) {
            return Arc::clone(&known.addresses);
        }
        let addresses: Arc<[IpAddr]> = look_up.await.into();
        *answer = Some(NameAnswer {
            found_at: Instant::now(),
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
        self.found_at.elapsed() < RETENTION
    }
}

#[cfg(test)]
mod tests;
