//! Readiness as something one holds: whatever must have happened first keeps a guard, and the process is ready when
//! the last one is dropped.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Whether the process wants traffic. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    shared: Arc<Shared>,
}

/// While it lives, the process is not ready.
#[must_use = "the process is not ready only while the guard lives"]
#[derive(Debug)]
pub struct ReadyGuard {
    shared: Arc<Shared>,
    name: &'static str,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<BTreeMap<&'static str, usize>>,
    ready: watch::Sender<bool>,
}

/// The name under which a withdrawn process is pending.
const WITHDRAWN: &str = "shutting down";

impl Readiness {
    /// Nothing is pending: ready.
    pub fn new() -> Self {
        let shared = Shared {
            pending: Mutex::default(),
            ready: watch::Sender::new(true),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Not ready until the guard is dropped.
    pub fn block(&self, name: &'static str) -> ReadyGuard {
        self.shared.add(name);
        let shared = Arc::clone(&self.shared);
        ReadyGuard { shared, name }
    }

    /// Never ready again: load balancers look elsewhere while we go on serving for a while.
    pub fn withdraw(&self) {
        self.shared.add(WITHDRAWN);
    }

    /// What is still awaited.
    pub fn pending(&self) -> Vec<String> {
        self.shared
            .pending()
            .keys()
            .map(|name| (*name).to_owned())
            .collect()
    }

    /// Whether nothing is awaited.
    pub fn is_ready(&self) -> bool {
        *self.shared.ready.borrow()
    }

    /// Ends when the process is ready.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // Fails only when the sender is gone, and we hold it.
        let _held = ready.wait_for(|ready| *ready).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ReadyGuard {
    fn drop(&mut self) {
        let mut pending = self.shared.pending();
        if let Some(count) = pending.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                pending.remove(self.name);
            }
        }
        self.shared.ready.send_replace(pending.is_empty());
    }
}

impl Shared {
    fn add(&self, name: &'static str) {
        let mut pending = self.pending();
        *pending.entry(name).or_insert(0) += 1;
        self.ready.send_replace(false);
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
