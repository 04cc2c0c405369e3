//! What a feed has told and nobody has heard yet, while another one takes its place: the newest of everything.

use std::collections::VecDeque;

use toolgate_data_core::notify::topic_subscriptions::TopicChange;

/// How much is kept.
const BACKLOG: usize = 1_000;

/// Bytes of it.
const BACKLOG_BYTES: usize = 1024 * 1024;

/// In the order in which it was told last.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    told: VecDeque<TopicChange>,
    bytes: usize,
}

impl Backlog {
    /// One more, in place of what was told of the same before. What there is no room for is the oldest.
    pub(super) fn push(&mut self, told: TopicChange) {
        if let Some(at) = self.told.iter().position(|before| same(before, &told))
            && let Some(before) = self.told.remove(at)
        {
            self.bytes -= size(&before);
        }
        self.bytes += size(&told);
        self.told.push_back(told);
        while self.told.len() > BACKLOG || self.bytes > BACKLOG_BYTES {
            if self.pop().is_none() {
                break;
            }
        }
    }

    /// The oldest.
    pub(super) fn pop(&mut self) -> Option<TopicChange> {
        let told = self.told.pop_front()?;
        self.bytes -= size(&told);
        Some(told)
    }
}

/// Whether both are of the same resource or task.
fn same(one: &TopicChange, other: &TopicChange) -> bool {
    match (one, other) {
        (TopicChange::Updated(one), TopicChange::Updated(other)) => one == other,
        (TopicChange::Task(one, _), TopicChange::Task(other, _)) => one == other,
        (TopicChange::Updated(_), TopicChange::Task(..))
        | (TopicChange::Task(..), TopicChange::Updated(_)) => false,
    }
}

fn size(told: &TopicChange) -> usize {
    match told {
        TopicChange::Updated(uri) => uri.len(),
        TopicChange::Task(id, notice) => id.len() + notice.len(),
    }
}

#[cfg(test)]
mod tests;
