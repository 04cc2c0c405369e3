//! Debouncing of change notifications to one client. Repeated changes of one item are sent as one notification,
//! related changes are sent together, and a delay follows each batch. Used by sessions and subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use toolgate_mcp::message;

use crate::{
    change::{Kinds, Pause},
    subscription::{Filter, filter::TASKS},
};

/// Maximum number of resources with a pending update.
pub const UPDATES: usize = 128;

/// Pending change notifications of one client.
#[derive(Debug, Clone, Default)]
pub struct Pacer {
    changed: Kinds,
    updated: BTreeSet<Box<str>>,
    /// Latest status parameters of each task.
    tasks: BTreeMap<Box<str>, Bytes>,
    pausing: bool,
}

/// Notification to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The list changed; holds the notification method.
    Changed(&'static str),
    /// The resource with this URI was updated.
    Updated(Box<str>),
    /// The status of a task changed; holds the parameters of the notification.
    Task(Bytes),
}

impl Pacer {
    /// Records changed lists.
    pub fn change(&mut self, kinds: Kinds) {
        self.changed = self.changed.or(kinds);
    }

    /// Records the update of a resource. Returns the URI as an error if [`MAX_PENDING_UPDATES`] is reached.
    pub fn update(&mut self, uri: Box<str>) -> Result<(), Box<str>> {
        if self.updated.len() >= UPDATES && !self.updated.contains(&uri) {
            return Err(uri);
        }
        self.updated.insert(uri);
        Ok(())
    }

    /// Records the update of a resource that covers others, regardless of the limit. Their number is bounded by the
    /// number of URIs in a filter.
    pub fn update_whole(&mut self, uri: Box<str>) {
        self.updated.insert(uri);
    }

    /// Records the latest status of a task.
    pub fn task(&mut self, id: Box<str>, params: Bytes) {
        if self.tasks.len() < TASKS || self.tasks.contains_key(&id) {
            self.tasks.insert(id, params);
        }
    }

    /// Removes everything that the filter does not request.
    pub fn retain(&mut self, filter: &Filter) {
        self.changed = self.changed.and(filter.kinds);
        self.updated.retain(|uri| filter.covering(uri).is_some());
        self.tasks.retain(|id, _| filter.tasks.contains(id));
    }

    /// Number of resources with a pending update.
    pub fn updates(&self) -> usize {
        self.updated.len()
    }

    /// Number of pending notifications.
    pub fn waiting(&self) -> usize {
        self.updated.len() + self.tasks.len() + self.changed.methods().count()
    }

    /// Starts the delay before pending notifications are sent. Returns `None` if nothing is pending or a delay is
    /// running.
    pub fn gather(&mut self) -> Option<Pause> {
        let begins = !self.pausing && self.waiting() > 0;
        self.pausing |= begins;
        begins.then_some(Pause::Gather)
    }

    /// Ends the running delay.
    pub fn settled(&mut self) {
        self.pausing = false;
    }

    /// Takes all pending notifications, or none while a delay is running. If the result is not empty, the caller must
    /// start [`DebounceDelay::Cooldown`].
    pub fn tell(&mut self) -> Vec<Notice> {
        if self.pausing {
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed).methods();
        let updated = std::mem::take(&mut self.updated).into_iter();
        let tasks = std::mem::take(&mut self.tasks).into_values();
        let told: Vec<Notice> = changed
            .map(Notice::Changed)
            .chain(updated.map(Notice::Updated))
            .chain(tasks.map(Notice::Task))
            .collect();
        self.pausing = !told.is_empty();
        told
    }

    /// Drops all pending notifications.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Notice {
    /// Encodes the notification, with the subscription's id if given. Task status is sent to subscriptions only.
    pub fn to_message(&self, subscription: Option<&str>) -> Option<Bytes> {
        match self {
            Self::Changed(method) => Some(message::changed(method, subscription)),
            Self::Updated(uri) => Some(message::updated(uri, subscription)),
            Self::Task(params) => subscription.map(|id| message::task_news(params, id)),
        }
    }
}

#[cfg(test)]
mod tests;
