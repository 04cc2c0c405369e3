//! Changes that were received from a feed and not read yet, while another feed replaces it: the newest of each topic.

use std::collections::VecDeque;

use toolgate_data_core::notify::topic_subscriptions::TopicChange;

/// Maximum number of changes.
const BACKLOG: usize = 1_000;

/// Maximum size of the changes in bytes.
const BACKLOG_BYTES: usize = 1024 * 1024;

/// Unread changes, in the order of their last update.
#[derive(Debug, Default)]
pub(super) struct FeedBacklog {
    changes: VecDeque<TopicChange>,
    bytes: usize,
}

impl FeedBacklog {
    /// Adds a change, which replaces an older one of the same topic. The oldest changes are dropped if there is no
    /// room.
    pub(super) fn push(&mut self, change: TopicChange) {
        if let Some(at) = self.changes.iter().position(|before| same(before, &change))
            && let Some(before) = self.changes.remove(at)
        {
            self.bytes -= size(&before);
        }
        self.bytes += size(&change);
        self.changes.push_back(change);
        while self.changes.len() > BACKLOG || self.bytes > BACKLOG_BYTES {
            if self.pop().is_none() {
                break;
            }
        }
    }

    /// Removes the oldest change.
    pub(super) fn pop(&mut self) -> Option<TopicChange> {
        let change = self.changes.pop_front()?;
        self.bytes -= size(&change);
        Some(change)
    }
}

/// Reports if both changes concern the same resource or task.
fn same(one: &TopicChange, other: &TopicChange) -> bool {
    match (one, other) {
        (TopicChange::Updated(one), TopicChange::Updated(other)) => one == other,
        (TopicChange::Task(one, _), TopicChange::Task(other, _)) => one == other,
        (TopicChange::Updated(_), TopicChange::Task(..))
        | (TopicChange::Task(..), TopicChange::Updated(_)) => false,
    }
}

fn size(change: &TopicChange) -> usize {
    match change {
        TopicChange::Updated(uri) => uri.len(),
        TopicChange::Task(id, notice) => id.len() + notice.len(),
    }
}

#[cfg(test)]
mod tests;
