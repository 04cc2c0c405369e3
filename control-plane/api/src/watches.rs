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
const MAX_EACH: usize = 32;

/// Counter of open streams.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    open: Mutex<BTreeMap<String, usize>>,
}

/// Permit for one stream, held until dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    watches: Arc<Watches>,
    author: String,
}

impl Watches {
    /// Acquires a permit for a stream of `author`.
    pub(crate) fn enter(self: &Arc<Self>, author: String) -> Result<Seat, Status> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= MAX_TOTAL {
            return Err(status::overloaded("too many streams are open"));
        }
        let own = open.entry(author.clone()).or_default();
        if *own >= MAX_EACH {
            let message = format!("{author} has {MAX_EACH} streams open already: close some");
            return Err(status::overloaded(&message));
        }
        *own += 1;
        let watches = Arc::clone(self);
        Ok(Seat { watches, author })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self
            .watches
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
