//! Network tasks of change feeds. They run on the runtime of the calls, not on the threads of the actors.

use std::{future::Future, sync::Arc};

use tokio::{runtime, sync::Notify, task::JoinHandle, time::Instant};
use toolgate_data_core::{
    notify::topic_subscriptions::{ChangeTopics, InterestId, TopicChange},
    port::{ChangeFeed, ChangeFeedTransport, UpstreamSessionKey},
    refusal::UpstreamFailure,
};
use toolgate_runtime::Drain;

use super::{
    batching::{BatchOutcome, collect_batch},
    task_notification::TaskNotification,
};

/// Starts the network tasks of feeds.
pub(crate) struct FeedTasks {
    transport: Arc<dyn ChangeFeedTransport>,
    runtime: runtime::Handle,
    drain: Drain,
}

/// Result of a network task. At most one task runs at a time; it owns the feed.
pub(crate) enum FeedTaskResult {
    /// A feed was opened, or could not be opened.
    Opened(Result<Box<dyn ChangeFeed>, UpstreamFailure>),
    /// Notifications of the feed; may be empty after an interrupt.
    Updates(Box<dyn ChangeFeed>, Vec<TopicChange>),
    /// A task notification was sent; the interests listed have no receiver any more.
    NotificationSent(Option<Box<dyn ChangeFeed>>, Vec<InterestId>),
    /// The feed has ended.
    FeedClosed,
}

impl FeedTasks {
    /// Must be called on the runtime that runs the tasks.
    pub(crate) fn new(transport: Arc<dyn ChangeFeedTransport>, drain: Drain) -> Self {
        Self {
            transport,
            runtime: runtime::Handle::current(),
            drain,
        }
    }

    /// Opens a feed of these topics, or changes the open feed to them.
    pub(crate) fn open(
        &self,
        key: &UpstreamSessionKey,
        topics: ChangeTopics,
        before: Option<Box<dyn ChangeFeed>>,
    ) -> JoinHandle<Result<Box<dyn ChangeFeed>, UpstreamFailure>> {
        let opening = match before {
            Some(before) => before.change(topics),
            None => self.transport.open(key, topics),
        };
        self.spawn("feed opening", opening)
    }

    /// Reads the feed until there are notifications, an interrupt, or a drain. Updates that arrive before `after` are
    /// delivered together at that time.
    pub(crate) fn listen(
        &self,
        feed: Box<dyn ChangeFeed>,
        interrupt: Arc<Notify>,
        after: Instant,
    ) -> JoinHandle<FeedTaskResult> {
        let draining = self.drain.draining();
        self.spawn("feed", async move {
            match collect_batch(feed, &interrupt, after, draining).await {
                BatchOutcome::Batch(feed, changes) => FeedTaskResult::Updates(feed, changes),
                BatchOutcome::FeedClosed => FeedTaskResult::FeedClosed,
                BatchOutcome::Draining(feed) => {
                    feed.close().await;
                    FeedTaskResult::FeedClosed
                }
            }
        })
    }

    /// Sends a task notification. The feed is not read meanwhile, so that nothing piles up.
    pub(crate) fn send_task_notification(
        &self,
        feed: Option<Box<dyn ChangeFeed>>,
        notification: TaskNotification,
    ) -> JoinHandle<FeedTaskResult> {
        self.spawn("task notification", async move {
            FeedTaskResult::NotificationSent(feed, notification.send().await)
        })
    }

    /// Returns `true` if feeds are no longer opened.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_draining()
    }

    /// Closes the feed in the background.
    pub(crate) fn close(&self, feed: Box<dyn ChangeFeed>) {
        drop(self.spawn("feed end", feed.close()));
    }

    fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let _entered = self.runtime.enter();
        self.drain.spawn(name, work)
    }
}
