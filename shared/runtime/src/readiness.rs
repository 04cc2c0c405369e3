//! Readiness guards: each prerequisite holds a guard, and the process is ready when the last guard is released. A guard
//! that is dropped otherwise, because a start fails or a task ends, leaves the process unready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Readiness of the process to receive traffic. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    shared: Arc<ReadinessState>,
}

/// Fault that does not keep the process from serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessWarning {
    /// Part of the process.
    pub subject: &'static str,
    /// Description of the fault, with the next step.
    pub text: String,
    /// True if the subject is out of order; false if something deserves attention.
    pub is_failure: bool,
    /// Name of the kind of fault, which programs compare; empty for faults without one.
    pub reason: &'static str,
}

/// Warning without its subject. A plain text is a warning that deserves attention, and no failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarningContent {
    /// Description of the fault, with the next step.
    pub text: String,
    /// True if the subject is out of order.
    pub is_failure: bool,
    /// Name of the kind of fault; may be empty.
    pub reason: &'static str,
}

/// Guard that keeps the process from being ready, until it is [released](Self::release).
#[must_use = "the process is not ready until the guard is released"]
#[derive(Debug)]
pub struct ReadyGuard {
    shared: Arc<ReadinessState>,
    name: &'static str,
}

#[derive(Debug)]
struct ReadinessState {
    pending: Mutex<BTreeMap<&'static str, usize>>,
    warnings: Mutex<BTreeMap<&'static str, Vec<WarningContent>>>,
    ready: watch::Sender<bool>,
}

/// Name under which a withdrawn process is pending.
const WITHDRAWN: &str = "shutting down";

impl WarningContent {
    /// Creates the warning that the subject is out of order.
    pub fn failure(reason: &'static str, text: String) -> Self {
        Self {
            text,
            is_failure: true,
            reason,
        }
    }
}

impl From<String> for WarningContent {
    fn from(text: String) -> Self {
        Self {
            text,
            is_failure: false,
            reason: "",
        }
    }
}

impl Readiness {
    /// Creates a readiness without guards: ready.
    pub fn new() -> Self {
        let shared = ReadinessState {
            pending: Mutex::default(),
            warnings: Mutex::default(),
            ready: watch::Sender::new(true),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Makes the process unready until the guard is released.
    pub fn block(&self, name: &'static str) -> ReadyGuard {
        self.shared.add(name);
        let shared = Arc::clone(&self.shared);
        ReadyGuard { shared, name }
    }

    /// Makes the process unready for good, so that load balancers stop sending traffic while it continues to serve for
    /// a while.
    pub fn withdraw(&self) {
        self.shared.add(WITHDRAWN);
    }

    /// Returns the names of pending prerequisites.
    pub fn pending(&self) -> Vec<String> {
        self.shared
            .pending()
            .keys()
            .map(|name| (*name).to_owned())
            .collect()
    }

    /// Replaces the warnings about `subject`. They do not change the readiness.
    pub fn set_warnings<W>(&self, subject: &'static str, warnings: Vec<W>)
    where
        W: Into<WarningContent>,
    {
        let warnings = warnings.into_iter().map(Into::into).collect();
        self.shared.warnings().insert(subject, warnings);
    }

    /// Returns the warnings about all subjects.
    pub fn warnings(&self) -> Vec<ProcessWarning> {
        let warnings = self.shared.warnings();
        let of_subject = |(subject, contents): (&&'static str, &Vec<WarningContent>)| {
            let subject = *subject;
            let warning = move |content: WarningContent| ProcessWarning {
                subject,
                text: content.text,
                is_failure: content.is_failure,
                reason: content.reason,
            };
            contents.clone().into_iter().map(warning)
        };
        warnings.iter().flat_map(of_subject).collect()
    }

    /// Returns `true` if nothing is pending.
    pub fn is_ready(&self) -> bool {
        *self.shared.ready.borrow()
    }

    /// Waits until the process is ready.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // Fails only if the sender is gone, and `self` holds it.
        let _held = ready.wait_for(|ready| *ready).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadyGuard {
    /// Marks the prerequisite as met.
    pub fn release(self) {
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

impl ReadinessState {
    fn add(&self, name: &'static str) {
        let mut pending = self.pending();
        *pending.entry(name).or_insert(0) += 1;
        self.ready.send_replace(false);
    }

    fn warnings(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<WarningContent>>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
