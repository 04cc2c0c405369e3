//! Change feeds of servers, shared by all subscribers of one principal.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{runtime, sync::Notify, task::JoinHandle, time::Instant};
use toolgate_actor::{ActorHandle, ActorSystem, AskError};
use toolgate_data_core::{
    ServerView, View,
    notify::topic_subscriptions::{self, ChangeTopic, ChangeTopics},
    plan::{ResourceTarget, TaskTarget},
    port::{ChangeFeed, ChangeFeedTransport, UpstreamSessionKey},
    refusal::UpstreamFailure,
    session::session_id::{ClientCapabilities, RANDOM_LEN},
};
use toolgate_model::Principal;
use toolgate_runtime::{Drain, Quota, QuotaPermit, budget::BudgetOwner};

use super::{
    actor::{ChangeFeedActor, ChangeFeedMessage, FeedTaskResult, SubscribeRequest, Subscriber},
    batching::{BatchOutcome, collect_batch},
    task_notification::TaskNotification,
};
use crate::sharded_map::ShardedMap;

/// Maximum number of change feeds of a proxy.
pub const CHANGE_FEEDS: usize = 10_000;

/// Maximum number of change feeds on behalf of one principal.
pub const CHANGE_FEEDS_PER_PRINCIPAL: usize = CHANGE_FEEDS / 4;

/// Timeout of a server's consent to a subscription.
pub const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Attempts to subscribe while feeds end concurrently.
const SUBSCRIBE_ATTEMPTS: usize = 3;

/// Registry of a proxy's change feeds. Must be created on the runtime that runs the network tasks. Cheap to clone.
#[derive(Clone)]
pub struct ChangeFeeds {
    context: Arc<FeedContext>,
    system: ActorSystem,
}

/// Subscription to the updates of a resource or the status of a task; ends on drop.
#[must_use = "nothing is told but while it lives"]
pub struct FeedSubscription {
    number: topic_subscriptions::InterestId,
    feed: ActorHandle<ChangeFeedActor>,
    server: toolgate_model::ObjectName,
    topic: ChangeTopic,
}

/// Topic to subscribe to, with its server.
#[derive(Debug, Clone)]
pub(crate) struct WatchTarget {
    pub(crate) server: Arc<ServerView>,
    pub(crate) topic: ChangeTopic,
    /// Name of the resource or task as the client knows it.
    pub(crate) exposed: Box<str>,
}

/// Subscriber of a feed, with the key under which feeds are shared.
pub(crate) struct SubscriberContext<'a> {
    pub(crate) principal: &'a Arc<Principal>,
    /// Id of the legacy session, if the subscriber is one.
    pub(crate) session: Option<[u8; RANDOM_LEN]>,
    /// Receiver of the notifications.
    pub(crate) subscriber: Subscriber,
}

pub(crate) struct FeedContext {
    network: Arc<dyn ChangeFeedTransport>,
    feeds: ShardedMap<UpstreamSessionKey, Arc<FeedEntry>>,
    quota: Arc<Quota>,
    next_interest: AtomicU64,
    runtime: runtime::Handle,
    drain: Drain,
}

pub(crate) struct FeedEntry {
    handle: ActorHandle<ChangeFeedActor>,
    /// Counts towards the quota of the principal.
    _permit: QuotaPermit,
}

impl ChangeFeeds {
    /// Creates an empty registry with at most `share` feeds per principal.
    pub fn new(
        network: Arc<dyn ChangeFeedTransport>,
        system: ActorSystem,
        drain: Drain,
        share: usize,
    ) -> Self {
        let shared = FeedContext {
            network,
            feeds: ShardedMap::new(CHANGE_FEEDS),
            quota: Quota::new(share),
            next_interest: AtomicU64::new(1),
            runtime: runtime::Handle::current(),
            drain,
        };
        Self {
            context: Arc::new(shared),
            system,
        }
    }

    /// Returns the number of feeds.
    pub fn count(&self) -> usize {
        self.context.feeds.len()
    }

    /// Subscribes to a topic, if the server consents within [`SUBSCRIBE_TIMEOUT`].
    pub(crate) async fn subscribe(
        &self,
        watcher: SubscriberContext<'_>,
        target: &WatchTarget,
    ) -> Result<FeedSubscription, UpstreamFailure> {
        let SubscriberContext {
            principal,
            session: conversation,
            subscriber: ear,
        } = watcher;
        // A feed needs no client capabilities.
        let nothing = ClientCapabilities::default();
        let key = UpstreamSessionKey::new(&target.server, principal, conversation, nothing)
            .for_change_feed();
        for _attempt in 0..SUBSCRIBE_ATTEMPTS {
            let entry = self.entry(&key)?;
            let number = topic_subscriptions::InterestId(
                self.context.next_interest.fetch_add(1, Ordering::Relaxed),
            );
            // Created before the wait: it unsubscribes on drop if the caller stops waiting.
            let interest = FeedSubscription {
                number,
                feed: entry.handle.clone(),
                server: target.server.name.clone(),
                topic: target.topic.clone(),
            };
            let wish = SubscribeRequest {
                interest: number,
                topic: target.topic.clone(),
                exposed: target.exposed.clone(),
                subscriber: ear.clone(),
            };
            let message = |waiter| ChangeFeedMessage::Subscribe(Box::new(wish), waiter);
            match entry.handle.ask(SUBSCRIBE_TIMEOUT, message).await {
                Ok(answer) => return answer.map(|()| interest),
                // The actor has just ended; the next attempt starts a new one.
                Err(AskError::Gone) => self.context.forget(&key, &entry),
                Err(AskError::Busy) => return Err(UpstreamFailure::Busy),
                Err(AskError::Timeout) => return Err(UpstreamFailure::Timeout),
            }
        }
        Err(UpstreamFailure::Busy)
    }

    /// Ends the feeds of removed servers and reopens the feeds of changed servers.
    pub fn view_changed(&self, after: &View) {
        self.context.feeds.for_each(|key, entry| {
            let message = match after.server(&key.server.name) {
                None => ChangeFeedMessage::End,
                Some(now) if now.digest == key.server.digest => return,
                Some(now) => ChangeFeedMessage::ServerChanged(Arc::clone(now)),
            };
            if entry.handle.tell(message).is_err() {
                entry.handle.stop();
            }
        });
    }

    /// Ends all feeds.
    pub fn end_all(&self) {
        self.context.feeds.for_each(|_key, entry| {
            if entry.handle.tell(ChangeFeedMessage::End).is_err() {
                entry.handle.stop();
            }
        });
    }

    fn entry(&self, key: &UpstreamSessionKey) -> Result<Arc<FeedEntry>, UpstreamFailure> {
        let shared = &self.context;
        shared.feeds.get_or_try(key, UpstreamFailure::Busy, || {
            let share = shared.quota.acquire(BudgetOwner::of(&key.principal));
            let share = share.ok_or(UpstreamFailure::TooManyOpen("subscriptions"))?;
            Ok(self.start(key, share))
        })
    }

    fn start(&self, key: &UpstreamSessionKey, share: QuotaPermit) -> Arc<FeedEntry> {
        let shared = Arc::downgrade(&self.context);
        let key = key.clone();
        Arc::new_cyclic(|entry: &Weak<FeedEntry>| {
            let entry = entry.clone();
            let actor = move || ChangeFeedActor::new(key.clone(), shared.clone(), entry.clone());
            FeedEntry {
                handle: self.system.spawn(actor),
                _permit: share,
            }
        })
    }
}

impl FeedContext {
    pub(crate) fn forget(&self, key: &UpstreamSessionKey, entry: &Arc<FeedEntry>) {
        self.feeds.remove_if(key, |found| Arc::ptr_eq(found, entry));
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
            None => self.network.open(key, topics),
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
                BatchOutcome::Batch(feed, told) => FeedTaskResult::Updates(feed, told),
                BatchOutcome::FeedClosed => FeedTaskResult::FeedClosed,
                BatchOutcome::Draining(feed) => {
                    feed.close().await;
                    FeedTaskResult::FeedClosed
                }
            }
        })
    }

    /// Sends a task notification. The feed is not read meanwhile, so that nothing piles up.
    pub(crate) fn send_task_notices(
        &self,
        feed: Option<Box<dyn ChangeFeed>>,
        news: TaskNotification,
    ) -> JoinHandle<FeedTaskResult> {
        self.spawn("news of a task", async move {
            FeedTaskResult::NoticesSent(feed, news.send().await)
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

    /// Spawns a task on the runtime of the calls.
    fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let _entered = self.runtime.enter();
        self.drain.spawn(name, work)
    }
}

impl WatchTarget {
    pub(crate) fn resource(target: &ResourceTarget) -> Self {
        Self {
            server: Arc::clone(&target.server),
            topic: ChangeTopic::Resource(target.original.clone()),
            exposed: target.exposed.clone(),
        }
    }

    pub(crate) fn task(target: &TaskTarget) -> Self {
        Self {
            server: Arc::clone(&target.tool.server),
            topic: ChangeTopic::Task(target.original.clone()),
            exposed: target.exposed.clone(),
        }
    }
}

impl FeedSubscription {
    /// Returns `true` if the topic belongs to this server.
    pub(crate) fn is_on_server(&self, server: &toolgate_model::ObjectName) -> bool {
        self.server == *server
    }

    /// Returns `true` if the topic is this resource.
    pub(crate) fn is_for_resource(&self, target: &ResourceTarget) -> bool {
        let is = |uri: &str| matches!(&self.topic, ChangeTopic::Resource(own) if **own == *uri);
        self.server == target.server.name && is(&target.original)
    }
}

impl Drop for FeedSubscription {
    fn drop(&mut self) {
        // If the actor's mailbox is full, it notices at the next delivery that the subscriber is gone.
        let _busy_or_gone = self.feed.tell(ChangeFeedMessage::Unsubscribe(self.number));
    }
}

impl fmt::Debug for FeedSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interest({})", self.number.0)
    }
}

impl fmt::Debug for ChangeFeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listeners({})", self.count())
    }
}

#[cfg(test)]
mod tests;
