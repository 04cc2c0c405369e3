//! Batches the notifications of a feed: a server that reports the same updates repeatedly costs little more than one
//! report of each.

use std::{collections::BTreeSet, future::Future, pin::pin, time::Duration};

use tokio::{
    sync::Notify,
    task::consume_budget,
    time::{Instant, sleep_until},
};
use toolgate_data_core::{notify::topic_subscriptions::TopicChange, port::ChangeFeed};

/// Interval between two deliveries of updates. The first delivery is immediate.
pub(crate) const BATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Number of distinct resources after which a batch is delivered early.
const MAX_BATCH_UPDATES: usize = 256;

/// Size of resource URIs after which a batch is delivered early, in bytes.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// Result of collecting a batch.
pub(crate) enum BatchOutcome {
    /// Notifications to deliver; may be empty after an interrupt.
    Batch(Box<dyn ChangeFeed>, Vec<TopicChange>),
    /// The feed has ended. Subscribers are notified of every resource once it is open again.
    FeedClosed,
    /// The proxy is draining.
    Draining(Box<dyn ChangeFeed>),
}

/// Updates collected so far.
#[derive(Default)]
struct UpdateBatch {
    uris: BTreeSet<Box<str>>,
    bytes: usize,
}

/// Reads the feed until `after`, and beyond that until there is something to deliver. Task notifications are delivered
/// immediately.
pub(crate) async fn collect_batch(
    mut feed: Box<dyn ChangeFeed>,
    interrupt: &Notify,
    after: Instant,
    draining: impl Future<Output = ()>,
) -> BatchOutcome {
    let (mut draining, mut interrupted) = (pin!(draining), pin!(interrupt.notified()));
    let mut interval = pin!(sleep_until(after));
    let mut updates = UpdateBatch::default();
    loop {
        let change = tokio::select! {
            biased;
            () = &mut draining => return BatchOutcome::Draining(feed),
            () = &mut interrupted => return BatchOutcome::Batch(feed, updates.into_changes()),
            () = &mut interval, if !updates.uris.is_empty() => {
                return BatchOutcome::Batch(feed, updates.into_changes());
            }
            change = feed.next() => change,
        };
        match change {
            None => return BatchOutcome::FeedClosed,
            Some(TopicChange::Updated(uri)) => updates.add(uri),
            Some(task @ TopicChange::Task(..)) => {
                let mut changes = updates.into_changes();
                changes.push(task);
                return BatchOutcome::Batch(feed, changes);
            }
        }
        if updates.is_full() {
            return BatchOutcome::Batch(feed, updates.into_changes());
        }
        // A feed that is always ready must yield to other tasks on this thread.
        consume_budget().await;
    }
}

impl UpdateBatch {
    fn add(&mut self, uri: Box<str>) {
        let bytes = uri.len();
        if self.uris.insert(uri) {
            self.bytes += bytes;
        }
    }

    fn is_full(&self) -> bool {
        self.uris.len() >= MAX_BATCH_UPDATES || self.bytes >= MAX_BATCH_BYTES
    }

    fn into_changes(self) -> Vec<TopicChange> {
        self.uris.into_iter().map(TopicChange::Updated).collect()
    }
}

#[cfg(test)]
mod tests;
