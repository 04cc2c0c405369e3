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
use toolgate_actor::{ActorSystem, AskError, Handle};
use toolgate_data_core::{
    ServerView, View,
    plan::{ResourceTarget, TaskTarget},
    port::{Feed, FeedNetwork, LinkKey},
    refusal::UpstreamFailure,
    session_id::{ClientCapabilities, RANDOM},
    watch::{self, Topic, Topics},
};
use toolgate_model::Principal;
use toolgate_runtime::{Drain, Taken, Tally, budget::Holder};

use crate::{
    gather::{Gathering, gather},
    listener::{Ear, ListenerActor, Message, Turned, Wish},
    news::TaskNews,
    shard::Shards,
};

/// Maximum number of change feeds of a proxy.
pub const LISTENERS: usize = 10_000;

/// Maximum number of change feeds on behalf of one principal.
pub const LISTENERS_PER_PRINCIPAL: usize = LISTENERS / 4;

/// Timeout of a server's consent to a subscription.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// Attempts to subscribe while feeds end concurrently.
const ATTEMPTS: usize = 3;

/// Registry of a proxy's change feeds. Must be created on the runtime that runs the network tasks. Cheap to clone.
#[derive(Clone)]
pub struct Listeners {
    shared: Arc<Shared>,
    system: ActorSystem,
}

/// Subscription to the updates of a resource or the status of a task; ends on drop.
#[must_use = "nothing is told but while it lives"]
pub struct Interest {
    number: watch::Interest,
    listener: Handle<ListenerActor>,
    server: toolgate_model::Name,
    topic: Topic,
}

/// Topic to subscribe to, with its server.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) server: Arc<ServerView>,
    pub(crate) topic: Topic,
    /// Name of the resource or task as the client knows it.
    pub(crate) exposed: Box<str>,
}

/// Subscriber of a feed, with the key under which feeds are shared.
pub(crate) struct Watcher<'a> {
    pub(crate) principal: &'a Arc<Principal>,
    /// Id of the legacy session, if the subscriber is one.
    pub(crate) conversation: Option<[u8; RANDOM]>,
    /// Receiver of the notifications.
    pub(crate) ear: Ear,
}

pub(crate) struct Shared {
    network: Arc<dyn FeedNetwork>,
    feeds: Shards<LinkKey, Arc<Entry>>,
    principals: Arc<Tally>,
    numbers: AtomicU64,
    runtime: runtime::Handle,
    drain: Drain,
}

pub(crate) struct Entry {
    handle: Handle<ListenerActor>,
    /// Counts towards the quota of the principal.
    _share: Taken,
}

impl Listeners {
    /// Creates an empty registry with at most `share` feeds per principal.
    pub fn new(
        network: Arc<dyn FeedNetwork>,
        system: ActorSystem,
        drain: Drain,
        share: usize,
    ) -> Self {
        let shared = Shared {
            network,
            feeds: Shards::new(LISTENERS),
            principals: Tally::new(share),
            numbers: AtomicU64::new(1),
            runtime: runtime::Handle::current(),
            drain,
        };
        Self {
            shared: Arc::new(shared),
            system,
        }
    }

    /// Returns the number of feeds.
    pub fn count(&self) -> usize {
        self.shared.feeds.len()
    }

    /// Subscribes to a topic, if the server consents within [`SUBSCRIBE_TIMEOUT`].
    pub(crate) async fn watch(
        &self,
        watcher: Watcher<'_>,
        target: &Watched,
    ) -> Result<Interest, UpstreamFailure> {
        let Watcher {
            principal,
            conversation,
            ear,
        } = watcher;
        // A feed needs no client capabilities.
        let nothing = ClientCapabilities::default();
        let mut key = LinkKey::of(&target.server, principal, conversation, nothing);
        // The feed gets an upstream session of its own: legacy servers allow one stream per session.
        let apart = key.conversation.map(|random| random.map(|byte| !byte));
        key.conversation = Some(apart.unwrap_or_default());
        for _attempt in 0..ATTEMPTS {
            let entry = self.entry(&key)?;
            let number = watch::Interest(self.shared.numbers.fetch_add(1, Ordering::Relaxed));
            // Created before the wait: it unsubscribes on drop if the caller stops waiting.
            let interest = Interest {
                number,
                listener: entry.handle.clone(),
                server: target.server.name.clone(),
                topic: target.topic.clone(),
            };
            let wish = Wish {
                interest: number,
                topic: target.topic.clone(),
                exposed: target.exposed.clone(),
                ear: ear.clone(),
            };
            let message = |waiter| Message::Want(Box::new(wish), waiter);
            match entry.handle.ask(DEADLINE, message).await {
                Ok(answer) => return answer.map(|()| interest),
                // The actor has just ended; the next attempt starts a new one.
                Err(AskError::Gone) => self.shared.forget(&key, &entry),
                Err(AskError::Busy) => return Err(UpstreamFailure::Busy),
                Err(AskError::Timeout) => return Err(UpstreamFailure::Timeout),
            }
        }
        Err(UpstreamFailure::Busy)
    }

    /// Ends the feeds of removed servers and reopens the feeds of changed servers.
    pub fn view_changed(&self, after: &View) {
        self.shared.feeds.for_each(|key, entry| {
            let message = match after.server(&key.server.name) {
                None => Message::End,
                Some(now) if now.digest == key.server.digest => return,
                Some(now) => Message::Moved(Arc::clone(now)),
            };
            if entry.handle.tell(message).is_err() {
                entry.handle.stop();
            }
        });
    }

    /// Ends all feeds.
    pub fn end_all(&self) {
        self.shared.feeds.for_each(|_key, entry| {
            if entry.handle.tell(Message::End).is_err() {
                entry.handle.stop();
            }
        });
    }

    fn entry(&self, key: &LinkKey) -> Result<Arc<Entry>, UpstreamFailure> {
        let shared = &self.shared;
        shared.feeds.get_or_try(key, UpstreamFailure::Busy, || {
            let share = shared.principals.take(Holder::of(&key.principal));
            let share = share.ok_or(UpstreamFailure::TooManyOpen("subscriptions"))?;
            Ok(self.start(key, share))
        })
    }

    fn start(&self, key: &LinkKey, share: Taken) -> Arc<Entry> {
        let shared = Arc::downgrade(&self.shared);
        let key = key.clone();
        Arc::new_cyclic(|entry: &Weak<Entry>| {
            let entry = entry.clone();
            let actor = move || ListenerActor::new(key.clone(), shared.clone(), entry.clone());
            Entry {
                handle: self.system.spawn(actor),
                _share: share,
            }
        })
    }
}

impl Shared {
    pub(crate) fn forget(&self, key: &LinkKey, entry: &Arc<Entry>) {
        self.feeds.remove_if(key, |found| Arc::ptr_eq(found, entry));
    }

    /// Opens a feed of these topics, or changes the open feed to them.
    pub(crate) fn open(
        &self,
        key: &LinkKey,
        topics: Topics,
        before: Option<Box<dyn Feed>>,
    ) -> JoinHandle<Result<Box<dyn Feed>, UpstreamFailure>> {
        let opening = match before {
            Some(before) => before.change(topics),
            None => self.network.open(key, topics),
        };
        self.run("feed opening", opening)
    }

    /// Reads the feed until there are notifications, an interrupt, or a drain. Updates that arrive before `after` are
    /// delivered together at that time.
    pub(crate) fn listen(
        &self,
        feed: Box<dyn Feed>,
        interrupt: Arc<Notify>,
        after: Instant,
    ) -> JoinHandle<Turned> {
        let draining = self.drain.draining();
        self.run("feed", async move {
            match gather(feed, &interrupt, after, draining).await {
                Gathering::Told(feed, told) => Turned::Told(feed, told),
                Gathering::Lost => Turned::Lost,
                Gathering::Draining(feed) => {
                    feed.close().await;
                    Turned::Lost
                }
            }
        })
    }

    /// Sends a task notification. The feed is not read meanwhile, so that nothing piles up.
    pub(crate) fn show(&self, feed: Option<Box<dyn Feed>>, news: TaskNews) -> JoinHandle<Turned> {
        self.run("news of a task", async move {
            Turned::Shown(feed, news.tell().await)
        })
    }

    /// Returns `true` if feeds are no longer opened.
    pub(crate) fn is_ending(&self) -> bool {
        self.drain.is_draining()
    }

    /// Closes the feed in the background.
    pub(crate) fn close(&self, feed: Box<dyn Feed>) {
        drop(self.run("feed end", feed.close()));
    }

    /// Spawns a task on the runtime of the calls.
    fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let _entered = self.runtime.enter();
        self.drain.spawn(name, work)
    }
}

impl Watched {
    pub(crate) fn resource(target: &ResourceTarget) -> Self {
        Self {
            server: Arc::clone(&target.server),
            topic: Topic::Resource(target.original.clone()),
            exposed: target.exposed.clone(),
        }
    }

    pub(crate) fn task(target: &TaskTarget) -> Self {
        Self {
            server: Arc::clone(&target.tool.server),
            topic: Topic::Task(target.original.clone()),
            exposed: target.exposed.clone(),
        }
    }
}

impl Interest {
    /// Returns `true` if the topic belongs to this server.
    pub(crate) fn is_of(&self, server: &toolgate_model::Name) -> bool {
        self.server == *server
    }

    /// Returns `true` if the topic is this resource.
    pub(crate) fn is_in(&self, target: &ResourceTarget) -> bool {
        let is = |uri: &str| matches!(&self.topic, Topic::Resource(own) if **own == *uri);
        self.server == target.server.name && is(&target.original)
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        // If the actor's mailbox is full, it notices at the next delivery that the subscriber is gone.
        let _busy_or_gone = self.listener.tell(Message::Leave(self.number));
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interest({})", self.number.0)
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listeners({})", self.count())
    }
}
