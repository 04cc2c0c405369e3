//! Change feeds of servers, shared by all subscribers of one principal.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use toolgate_actor::{ActorHandle, ActorSystem, AskError};
use toolgate_data_core::{
    View,
    notify::topic_subscriptions::InterestId,
    port::{ChangeFeedTransport, UpstreamSessionKey},
    refusal::UpstreamFailure,
    session::session_id::{ClientCapabilities, RANDOM_LEN},
};
use toolgate_model::Principal;
use toolgate_runtime::{Drain, Quota, QuotaPermit, budget::BudgetOwner};

use super::{
    actor::{ChangeFeedActor, ChangeFeedMessage, SubscribeRequest},
    feed_subscription::{FeedSubscription, FeedTopic},
    feed_tasks::FeedTasks,
    subscriber::Subscriber,
};
use crate::{registration::Registration, sharded_map::ShardedMap};

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
    table: Arc<FeedTable>,
    system: ActorSystem,
}

/// Subscriber of a feed, with the key under which feeds are shared.
pub(crate) struct SubscriberContext<'a> {
    pub(crate) principal: &'a Arc<Principal>,
    /// Id of the legacy session, if the subscriber is one.
    pub(crate) session: Option<[u8; RANDOM_LEN]>,
    /// Receiver of the notifications.
    pub(crate) subscriber: Arc<dyn Subscriber>,
}

struct FeedTable {
    feeds: Arc<ShardedMap<UpstreamSessionKey, Arc<FeedEntry>>>,
    quota: Arc<Quota>,
    next_interest: AtomicU64,
    tasks: Arc<FeedTasks>,
}

struct FeedEntry {
    handle: ActorHandle<ChangeFeedActor>,
    /// Counts towards the quota of the principal.
    _permit: QuotaPermit,
}

impl ChangeFeeds {
    /// Creates an empty registry with at most `quota` feeds per principal.
    pub fn new(
        transport: Arc<dyn ChangeFeedTransport>,
        system: ActorSystem,
        drain: Drain,
        quota: usize,
    ) -> Self {
        let table = FeedTable {
            feeds: Arc::new(ShardedMap::new(CHANGE_FEEDS)),
            quota: Quota::new(quota),
            next_interest: AtomicU64::new(1),
            tasks: Arc::new(FeedTasks::new(transport, drain)),
        };
        Self {
            table: Arc::new(table),
            system,
        }
    }

    /// Returns the number of feeds.
    pub fn count(&self) -> usize {
        self.table.feeds.len()
    }

    /// Subscribes to a topic, if the server consents within [`SUBSCRIBE_TIMEOUT`].
    pub(crate) async fn subscribe(
        &self,
        context: SubscriberContext<'_>,
        topic: &FeedTopic,
    ) -> Result<FeedSubscription, UpstreamFailure> {
        let SubscriberContext {
            principal,
            session,
            subscriber,
        } = context;
        // A feed needs no client capabilities.
        let capabilities = ClientCapabilities::default();
        let key = UpstreamSessionKey::new(&topic.server, principal, session, capabilities)
            .for_change_feed();
        for _attempt in 0..SUBSCRIBE_ATTEMPTS {
            let entry = self.entry(&key)?;
            let interest = InterestId(self.table.next_interest.fetch_add(1, Ordering::Relaxed));
            // Created before the wait: it unsubscribes on drop if the caller stops waiting.
            let subscription = FeedSubscription::new(interest, entry.handle.clone(), topic);
            let request = SubscribeRequest {
                interest,
                topic: topic.topic.clone(),
                exposed: topic.exposed.clone(),
                subscriber: Arc::clone(&subscriber),
            };
            let message = |reply| ChangeFeedMessage::Subscribe(Box::new(request), reply);
            match entry.handle.ask(SUBSCRIBE_TIMEOUT, message).await {
                Ok(answer) => return answer.map(|()| subscription),
                // The actor has just ended; the next attempt starts a new one.
                Err(AskError::Gone) => self.table.forget(&key, &entry),
                Err(AskError::Busy) => return Err(UpstreamFailure::Busy),
                Err(AskError::Timeout) => return Err(UpstreamFailure::Timeout),
            }
        }
        Err(UpstreamFailure::Busy)
    }

    /// Ends the feeds of removed servers and reopens the feeds of changed servers.
    pub fn view_changed(&self, after: &View) {
        self.table.feeds.for_each(|key, entry| {
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
        self.table.feeds.for_each(|_key, entry| {
            if entry.handle.tell(ChangeFeedMessage::End).is_err() {
                entry.handle.stop();
            }
        });
    }

    fn entry(&self, key: &UpstreamSessionKey) -> Result<Arc<FeedEntry>, UpstreamFailure> {
        let table = &self.table;
        table.feeds.get_or_try(key, UpstreamFailure::Busy, || {
            let permit = table.quota.acquire(BudgetOwner::of(&key.principal));
            let permit = permit.ok_or(UpstreamFailure::TooManyOpen("subscriptions"))?;
            Ok(self.start(key, permit))
        })
    }

    fn start(&self, key: &UpstreamSessionKey, permit: QuotaPermit) -> Arc<FeedEntry> {
        let (key, tasks) = (key.clone(), Arc::downgrade(&self.table.tasks));
        Arc::new_cyclic(|entry: &Weak<FeedEntry>| {
            let registration = Registration::new(&self.table.feeds, key.clone(), entry.clone());
            let actor =
                move || ChangeFeedActor::new(key.clone(), tasks.clone(), registration.clone());
            FeedEntry {
                handle: self.system.spawn(actor),
                _permit: permit,
            }
        })
    }
}

impl FeedTable {
    /// Removes the entry of an actor that has ended.
    fn forget(&self, key: &UpstreamSessionKey, entry: &Arc<FeedEntry>) {
        self.feeds.remove_if(key, |found| Arc::ptr_eq(found, entry));
    }
}

impl fmt::Debug for ChangeFeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeFeeds({})", self.count())
    }
}

#[cfg(test)]
mod tests;
