//! Open `subscriptions/listen` requests of this proxy. A subscription lasts as long as its stream and is removed when
//! the response is dropped.

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

/// Maximum number of subscriptions of a proxy.
pub const SUBSCRIPTIONS: usize = 100_000;

/// Maximum number of subscriptions per principal.
pub const SUBSCRIPTIONS_PER_PRINCIPAL: usize = 1_000;

/// Registry of the subscriptions of modern clients. Cheap to clone.
#[derive(Clone)]
pub struct Subscriptions {
    registry: Arc<Registry>,
    system: ActorSystem,
    clock: SharedClock,
    pace: Pace,
}

/// Request to open a subscription.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Id of the request, as written.
    pub id: &'a str,
    /// Gateway of the request.
    pub gateway: &'a GatewayView,
    /// Caller of the request.
    pub caller: &'a Caller,
}

/// Subscription that is open but not acknowledged yet.
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

/// Removes the subscription and releases its quota on drop.
pub(crate) struct Place {
    registry: Arc<Registry>,
    number: u64,
    _share: Taken,
}

impl Subscriptions {
    /// Creates an empty registry with at most `share` subscriptions per principal.
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

    /// Returns the number of subscriptions.
    pub fn count(&self) -> usize {
        self.registry.standing.len()
    }

    /// Opens a subscription. It collects changes from now on and sends them once it is acknowledged.
    pub fn open(&self, wanted: Wanted<'_>) -> Result<Opened, Refusal> {
        let token = wanted.caller.token();
        let principal = &token.principal;
        let registry = &self.registry;
        let share = registry.principals.take(Holder::of(principal));
        let share = share.ok_or(Refusal::TooManyOpen("subscriptions"))?;
        let number = registry.next.fetch_add(1, Ordering::Relaxed);
        // Releases the quota, also if the map is full.
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

    /// Notifies subscriptions whose lists changed, and ends subscriptions without a gateway or token.
    pub fn view_changed(&self, views: &mut Comparison<'_>) {
        self.registry.standing.for_each(|_number, standing| {
            standing.retain(views);
            let message = match views.concerns(&standing.gateway, &standing.token) {
                None => Message::End,
                Some(kinds) if kinds.any() => Message::Changed(kinds),
                Some(_) => return,
            };
            // A subscription that cannot take the message is ended: it would continue with an outdated list.
            if standing.tell(message).is_err() {
                standing.handle.stop();
            }
        });
    }
}

impl Opened {
    /// Subscribes to updates of resources. Returns the resources whose servers agreed, by the client's own URIs. A
    /// server that does not answer in time has not agreed.
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

    /// Subscribes to the status of tasks, each given as its status call. Returns the tasks whose servers agreed.
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

    /// Applies this view to resources and tasks that were subscribed to under an older one.
    pub fn seen_in(&self, view: &View) {
        self.standing.retain(&Comparison::new(view, view));
    }

    /// Acknowledges the filter and returns the stream.
    pub fn acknowledge(self, honoured: Filter) -> Result<EventStream, Refusal> {
        self.standing.tell(Message::Honoured(honoured))?;
        Ok(self.stream)
    }

    /// Marks all lists as changed, because the view was replaced while the subscription was being opened.
    pub fn missed(&self) -> Result<(), Refusal> {
        self.standing.tell(Message::Changed(Kinds::ALL))
    }
}

impl Standing {
    /// Drops resources and tasks that the current view no longer permits.
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
