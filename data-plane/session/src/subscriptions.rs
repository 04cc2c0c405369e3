//! Every `subscriptions/listen` that this proxy holds open. One lasts as long as its stream: what is dropped with the
//! response is forgotten here.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use toolgate_actor::{ActorSystem, Handle};
use toolgate_data_core::{
    Caller, GatewayView, Refusal, View,
    change::{Comparison, Kinds},
    plan::{CallPlan, ResourceTarget},
    subscription::{Filter, Subscription},
};
use toolgate_model::{Principal, Slug, TokenHash};
use toolgate_runtime::{Taken, Tally, budget::Holder, clock::SharedClock};

use crate::{
    listener::Ear,
    listeners::{Interest, Listeners, Watched, Watcher},
    news::Outlook,
    session::Pace,
    shard::{Full, Shards},
    stream::{EventStream, Of, STREAM_QUEUE},
    subscription::{Message, SubscriptionActor},
    watches::{Follow, Follows, Watches},
};

/// Subscriptions that one proxy holds open.
pub const SUBSCRIPTIONS: usize = 100_000;

/// Of these, how many of one principal.
pub const SUBSCRIPTIONS_PER_PRINCIPAL: usize = 1_000;

/// The subscriptions of modern clients. Cheap to clone.
#[derive(Clone)]
pub struct Subscriptions {
    registry: Arc<Registry>,
    system: ActorSystem,
    clock: SharedClock,
    pace: Pace,
}

/// A subscription that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The id of the request, as written.
    pub id: &'a str,
    /// At which gateway.
    pub gateway: &'a GatewayView,
    /// By whom.
    pub caller: &'a Caller,
}

/// A subscription that stands, but has not been acknowledged yet.
pub struct Opened {
    stream: EventStream,
    standing: Arc<Standing>,
    principal: Arc<Principal>,
}

struct Registry {
    standing: Shards<u64, Arc<Standing>>,
    principals: Arc<Tally>,
    next: AtomicU64,
}

struct Standing {
    handle: Handle<SubscriptionActor>,
    gateway: Slug,
    token: TokenHash,
    watches: Watches,
    follows: Follows,
}

/// What is given back when the stream ends.
pub(crate) struct Place {
    registry: Arc<Registry>,
    number: u64,
    _share: Taken,
}

impl Subscriptions {
    /// None yet; so many of one principal at most.
    pub fn new(system: ActorSystem, clock: SharedClock, share: usize) -> Self {
        Self::paced(system, clock, share, Pace::default())
    }

    fn paced(system: ActorSystem, clock: SharedClock, share: usize, pace: Pace) -> Self {
        let registry = Registry {
            standing: Shards::new(SUBSCRIPTIONS),
            principals: Tally::new(share),
            next: AtomicU64::new(1),
        };
        Self {
            registry: Arc::new(registry),
            system,
            clock,
            pace,
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.registry.standing.len()
    }

    /// Opens one. From here on it hears of changes; it tells them when it has been acknowledged.
    pub fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Refusal> {
        let token = wanted.caller.token();
        let principal = &token.principal;
        let registry = &self.registry;
        let share = registry.principals.take(Holder::of(principal));
        let share = share.ok_or(Refusal::TooManyOpen("subscriptions"))?;
        let number = registry.next.fetch_add(1, Ordering::Relaxed);
        // Gives back what was taken, also when there is no room.
        let place = Place {
            registry: Arc::clone(registry),
            number,
            _share: share,
        };
        let machine = Subscription::new(wanted.id.into(), &wanted.gateway.server_info);
        let (clock, pace, expires) = (Arc::clone(&self.clock), self.pace, token.expires);
        let actor =
            move || SubscriptionActor::new(machine.clone(), Arc::clone(&clock), pace, expires);
        let standing = registry.standing.get_or_insert(&number, || {
            Arc::new(Standing {
                handle: self.system.spawn(actor),
                gateway: wanted.gateway.name.id.clone(),
                token: token.hash,
                watches: Watches::default(),
                follows: Follows::default(),
            })
        });
        let standing = standing.map_err(|Full| Refusal::Overloaded)?;
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        let stream = EventStream::new(receiver, Of::Subscription(place));
        standing.tell(Message::Start(sender))?;
        Ok(Opened {
            stream,
            standing,
            principal: Arc::clone(principal),
        })
    }

    /// Tells whose lists changed, and ends what has no gateway or token any more.
    pub fn view_changed(&self, views: &mut Comparison<'_>) {
        self.registry.standing.for_each(|_number, standing| {
            standing.retain(views);
            let message = match views.concerns(&standing.gateway, &standing.token) {
                None => Message::End,
                Some(kinds) if kinds.any() => Message::Changed(kinds),
                Some(_) => return,
            };
            // One that is too busy for this is let go: it would go on with an old list.
            if standing.tell(message).is_err() {
                standing.handle.stop();
            }
        });
    }
}

impl Opened {
    /// Has it told of updates of these resources, as far as their servers agree: those are returned, by the client's own
    /// URIs. Who does not agree in time does not agree.
    pub async fn watch(
        &self,
        targets: &[ResourceTarget],
        listeners: &Listeners,
    ) -> BTreeSet<Box<str>> {
        let one = |target: &ResourceTarget| {
            let (target, principal) = (target.clone(), Arc::clone(&self.principal));
            let ear = Ear::Subscription(self.standing.handle.clone());
            let listeners = listeners.clone();
            async move {
                let watcher = Watcher {
                    principal: &principal,
                    conversation: None,
                    ear,
                };
                let watched = Watched::resource(&target);
                let interest = listeners.watch(watcher, &watched).await.ok()?;
                Some((target.exposed, interest))
            }
        };
        let agreed = join_all(targets.iter().map(one)).await;
        let watch = |(exposed, interest): (Box<str>, Interest)| {
            self.standing.watches.insert(exposed.clone(), interest);
            exposed
        };
        agreed.into_iter().flatten().map(watch).collect()
    }

    /// Has it told how far these tasks have come, each of which is a call that asks that; as far as their servers agree.
    pub async fn follow(
        &self,
        tasks: &[Arc<CallPlan>],
        listeners: &Listeners,
    ) -> BTreeSet<Box<str>> {
        let one = |call: &Arc<CallPlan>| {
            let (call, principal) = (Arc::clone(call), Arc::clone(&self.principal));
            let outlook = Outlook::new(Arc::clone(&call));
            let ear = Ear::Task(self.standing.handle.clone(), outlook.clone());
            let listeners = listeners.clone();
            async move {
                let watcher = Watcher {
                    principal: &principal,
                    conversation: None,
                    ear,
                };
                let task = call.target.task()?;
                let interest = listeners.watch(watcher, &Watched::task(task)).await.ok()?;
                Some((task.exposed.clone(), Follow { outlook, interest }))
            }
        };
        let agreed = join_all(tasks.iter().map(one)).await;
        let follow = |(exposed, follow): (Box<str>, Follow)| {
            self.standing.follows.insert(exposed.clone(), follow);
            exposed
        };
        agreed.into_iter().flatten().map(follow).collect()
    }

    /// What was watched and followed by an older view than this goes by this one.
    pub fn seen_in(&self, view: &View) {
        self.standing.retain(&Comparison::new(view, view));
    }

    /// Says what is honoured, and hands out the stream on which everything is told.
    pub fn acknowledge(self, honoured: Filter) -> Result<EventStream, Refusal> {
        self.standing.tell(Message::Honoured(honoured))?;
        Ok(self.stream)
    }

    /// The view was replaced while it was being opened: everything may have changed.
    pub fn missed(&self) -> Result<(), Refusal> {
        self.standing.tell(Message::Changed(Kinds::ALL))
    }
}

impl Standing {
    /// What is watched and followed by what may be seen now.
    fn retain(&self, views: &Comparison<'_>) {
        if let Some((gateway, grant)) = views.now(&self.gateway, &self.token) {
            self.watches.retain(gateway, grant);
            self.follows.retain(gateway, grant);
        }
    }

    fn tell(&self, message: Message) -> Result<(), Refusal> {
        self.handle
            .tell(message)
            .map_err(|_busy| Refusal::Overloaded)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({:?})", self.stream)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.standing.remove_if(&self.number, |_| true);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscription {}", self.number)
    }
}

#[cfg(test)]
mod tests;
