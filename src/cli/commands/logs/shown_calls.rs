//! Requests that were shown lately, so that none is shown twice after a connection broke.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::cli::output::cell;

/// Number of requests that are remembered: more than a stream begins with.
const REMEMBERED: usize = 4_096;

/// Requests that were shown lately.
#[derive(Debug, Default)]
pub(super) struct ShownCalls {
    order: VecDeque<String>,
    known: BTreeSet<String>,
}

impl ShownCalls {
    /// Returns `true` if no request was shown.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds a request. Returns `false` if it is known. A proxy that was restarted numbers its requests anew, so that the
    /// time is part of the identity.
    pub(super) fn insert(&mut self, call: &Value) -> bool {
        let part = |pointer| cell::text(call, pointer);
        let id = format!("{} {} {}", part("/proxy"), part("/sequence"), part("/time"));
        if !self.known.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
