//! Limits on open watch streams, in total and per caller.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tonic::Status;

use crate::status;

/// Maximum number of streams of one listener.
const MAX_TOTAL: usize = 1024;
/// Maximum number of streams of one caller.
const MAX_PER_CALLER: usize = 32;

/// Counter of open streams.
#[derive(Debug, Default)]
pub(crate) struct WatchLimiter {
    open: Mutex<BTreeMap<String, usize>>,
}

/// Permit for one stream, held until dropped.
#[derive(Debug)]
pub(crate) struct WatchPermit {
    limiter: Arc<WatchLimiter>,
    author: String,
}

impl WatchLimiter {
    /// Acquires a permit for a stream of `author`.
    pub(crate) fn acquire(self: &Arc<Self>, author: String) -> Result<WatchPermit, Status> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= MAX_TOTAL {
            return Err(status::overloaded("too many streams are open"));
        }
        let own = open.entry(author.clone()).or_default();
        if *own >= MAX_PER_CALLER {
            let message = format!("{author} has {MAX_PER_CALLER} streams open already: close some");
            return Err(status::overloaded(&message));
        }
        *own += 1;
        let watches = Arc::clone(self);
        Ok(WatchPermit {
            limiter: watches,
            author,
        })
    }
}

impl Drop for WatchPermit {
    fn drop(&mut self) {
        let mut open = self
            .limiter
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.author) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(&self.author);
            }
        }
    }
}
