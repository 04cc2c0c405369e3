//! Debouncing of change notifications to one client. Repeated changes of one item are sent as one notification,
//! related changes are sent together, and a delay follows each batch. Used by sessions and subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use toolgate_mcp::message;

use crate::notify::{
    subscription::filter::{MAX_TASKS, SubscriptionFilter},
    view_change::{DebounceDelay, ListChanges},
};

/// Maximum number of resources with a pending update.
pub const MAX_PENDING_UPDATES: usize = 128;

/// Pending change notifications of one client.
#[derive(Debug, Clone, Default)]
pub struct Debouncer {
    changed: ListChanges,
    updated: BTreeSet<Box<str>>,
    /// Latest status parameters of each task.
    tasks: BTreeMap<Box<str>, Bytes>,
    delaying: bool,
}

/// Notification to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeNotification {
    /// The list changed; holds the notification method.
    ListChanged(&'static str),
    /// The resource with this URI was updated.
    ResourceUpdated(Box<str>),
    /// The status of a task changed; holds the parameters of the notification.
    TaskStatus(Bytes),
}

impl Debouncer {
    /// Records changed lists.
    pub fn add_list_changes(&mut self, kinds: ListChanges) {
        self.changed = self.changed.union(kinds);
    }

    /// Records the update of a resource. Returns the URI as an error if [`MAX_PENDING_UPDATES`] is reached.
    pub fn add_resource_update(&mut self, uri: Box<str>) -> Result<(), Box<str>> {
        if self.updated.len() >= MAX_PENDING_UPDATES && !self.updated.contains(&uri) {
            return Err(uri);
        }
        self.updated.insert(uri);
        Ok(())
    }

    /// Records the update of a resource that covers others, regardless of the limit. Their number is bounded by the
    /// number of URIs in a filter.
    pub fn add_covering_resource(&mut self, uri: Box<str>) {
        self.updated.insert(uri);
    }

    /// Records the latest status of a task.
    pub fn add_task_status(&mut self, id: Box<str>, params: Bytes) {
        if self.tasks.len() < MAX_TASKS || self.tasks.contains_key(&id) {
            self.tasks.insert(id, params);
        }
    }

    /// Removes everything that the filter does not request.
    pub fn retain(&mut self, filter: &SubscriptionFilter) {
        self.changed = self.changed.intersection(filter.list_changes);
        self.updated.retain(|uri| filter.covering(uri).is_some());
        self.tasks.retain(|id, _| filter.tasks.contains(id));
    }

    /// Number of resources with a pending update.
    pub fn pending_updates(&self) -> usize {
        self.updated.len()
    }

    /// Number of pending notifications.
    pub fn pending(&self) -> usize {
        self.updated.len() + self.tasks.len() + self.changed.methods().count()
    }

    /// Starts the delay before pending notifications are sent. Returns `None` if nothing is pending or a delay is
    /// running.
    pub fn start_delay(&mut self) -> Option<DebounceDelay> {
        let begins = !self.delaying && self.pending() > 0;
        self.delaying |= begins;
        begins.then_some(DebounceDelay::Initial)
    }

    /// Ends the running delay.
    pub fn delay_elapsed(&mut self) {
        self.delaying = false;
    }

    /// Takes all pending notifications, or none while a delay is running. If the result is not empty, the caller must
    /// start [`DebounceDelay::Cooldown`].
    pub fn take_due(&mut self) -> Vec<ChangeNotification> {
        if self.delaying {
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed).methods();
        let updated = std::mem::take(&mut self.updated).into_iter();
        let tasks = std::mem::take(&mut self.tasks).into_values();
        let notifications: Vec<ChangeNotification> = changed
            .map(ChangeNotification::ListChanged)
            .chain(updated.map(ChangeNotification::ResourceUpdated))
            .chain(tasks.map(ChangeNotification::TaskStatus))
            .collect();
        self.delaying = !notifications.is_empty();
        notifications
    }

    /// Drops all pending notifications.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl ChangeNotification {
    /// Encodes the notification, with the subscription's id if given. Task status is sent to subscriptions only.
    pub fn to_message(&self, subscription: Option<&str>) -> Option<Bytes> {
        match self {
            Self::ListChanged(method) => Some(message::changed(method, subscription)),
            Self::ResourceUpdated(uri) => Some(message::updated(uri, subscription)),
            Self::TaskStatus(params) => {
                subscription.map(|id| message::task_notification(params, id))
            }
        }
    }
}

#[cfg(test)]
mod tests;
