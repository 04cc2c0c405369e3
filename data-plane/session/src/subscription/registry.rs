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
use toolgate_actor::{ActorHandle, ActorSystem};
use toolgate_data_core::{
    AuthnId, Caller, GatewayView, Refusal, View,
    notify::{
        subscription::{SubscriptionFilter, SubscriptionMachine},
        view_change::{ListChanges, ViewComparison},
    },
    plan::{CallPlan, ResourceTarget},
};
use toolgate_model::{Principal, Slug};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, clock::SharedClock};

use super::actor::{SubscriptionActor, SubscriptionMessage};
use crate::{
    change_feed::{
        ChangeFeeds, FeedSubscription, ResourceSubscriptions, Subscriber, SubscriberContext,
        TaskStatusCall, TaskSubscription, TaskSubscriptions, WatchTarget,
    },
    client_session::StreamTiming,
    sharded_map::{MapFull, ShardedMap},
    stream::{STREAM_QUEUE, SessionEventStream, StreamOwner},
};

/// Maximum number of subscriptions of a proxy.
pub const SUBSCRIPTIONS: usize = 100_000;

/// Maximum number of subscriptions per principal.
pub const SUBSCRIPTIONS_PER_PRINCIPAL: usize = 1_000;

/// Registry of the subscriptions of modern clients. Cheap to clone.
#[derive(Clone)]
pub struct SubscriptionRegistry {
    table: Arc<SubscriptionTable>,
    system: ActorSystem,
    clock: SharedClock,
    timing: StreamTiming,
}

/// Request to open a subscription.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionRequest<'a> {
    /// Id of the request, as written.
    pub id: &'a str,
    /// Gateway of the request.
    pub gateway: &'a GatewayView,
    /// Caller of the request.
    pub caller: &'a Caller,
}

/// Subscription that is open but not acknowledged yet.
pub struct PendingSubscription {
    stream: SessionEventStream,
    entry: Arc<SubscriptionEntry>,
    principal: Arc<Principal>,
}

struct SubscriptionTable {
    subscriptions: ShardedMap<u64, Arc<SubscriptionEntry>>,
    quota: Arc<Quota>,
    next: AtomicU64,
}

struct SubscriptionEntry {
    handle: ActorHandle<SubscriptionActor>,
    gateway: Slug,
    authn: AuthnId,
    resources: ResourceSubscriptions,
    tasks: TaskSubscriptions,
}

/// Removes the subscription and releases its quota on drop.
pub(crate) struct SubscriptionGuard {
    table: Arc<SubscriptionTable>,
    number: u64,
    _permit: QuotaPermit,
}

impl SubscriptionRegistry {
    /// Creates an empty registry with at most `share` subscriptions per principal.
    pub fn new(system: ActorSystem, clock: SharedClock, share: usize) -> Self {
        Self::with_timing(system, clock, share, StreamTiming::default())
    }

    fn with_timing(
        system: ActorSystem,
        clock: SharedClock,
        share: usize,
        timing: StreamTiming,
    ) -> Self {
        let registry = SubscriptionTable {
            subscriptions: ShardedMap::new(SUBSCRIPTIONS),
            quota: Quota::new(share),
            next: AtomicU64::new(1),
        };
        Self {
            table: Arc::new(registry),
            system,
            clock,
            timing,
        }
    }

    /// Returns the number of subscriptions.
    pub fn count(&self) -> usize {
        self.table.subscriptions.len()
    }

    /// Opens a subscription. It collects changes from now on and sends them once it is acknowledged.
    pub fn open(&self, wanted: SubscriptionRequest<'_>) -> Result<PendingSubscription, Refusal> {
        let (authn, principal) = (wanted.caller.authn(), wanted.caller.principal());
        let registry = &self.table;
        let share = registry.quota.acquire(BudgetOwner::of(principal));
        let share = share.ok_or(Refusal::TooManyOpen("subscriptions"))?;
        let number = registry.next.fetch_add(1, Ordering::Relaxed);
        // Releases the quota, also if the map is full.
        let place = SubscriptionGuard {
            table: Arc::clone(registry),
            number,
            _permit: share,
        };
        let machine = SubscriptionMachine::new(wanted.id.into(), &wanted.gateway.server_info);
        let (clock, pace, expires) = (Arc::clone(&self.clock), self.timing, authn.expires);
        let actor =
            move || SubscriptionActor::new(machine.clone(), Arc::clone(&clock), pace, expires);
        let standing = registry.subscriptions.get_or_insert(&number, || {
            Arc::new(SubscriptionEntry {
                handle: self.system.spawn(actor),
                gateway: wanted.gateway.name.id.clone(),
                authn: authn.id,
                resources: ResourceSubscriptions::default(),
                tasks: TaskSubscriptions::default(),
            })
        });
        let standing = standing.map_err(|MapFull| Refusal::Overloaded)?;
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        let stream = SessionEventStream::new(receiver, StreamOwner::Subscription(place));
        standing.tell(SubscriptionMessage::Start(sender))?;
        Ok(PendingSubscription {
            stream,
            entry: standing,
            principal: Arc::clone(principal),
        })
    }

    /// Notifies subscriptions whose lists changed, and ends subscriptions that lost their gateway or proof.
    pub fn view_changed(&self, views: &mut ViewComparison<'_>) {
        self.table.subscriptions.for_each(|_number, standing| {
            standing.retain(views);
            let message = match views.changes_for(&standing.gateway, &standing.authn) {
                None => SubscriptionMessage::End,
                Some(kinds) if kinds.any() => SubscriptionMessage::Changed(kinds),
                Some(_) => return,
            };
            // A subscription that cannot take the message is ended: it would continue with an outdated list.
            if standing.tell(message).is_err() {
                standing.handle.stop();
            }
        });
    }
}

impl PendingSubscription {
    /// Subscribes to updates of resources. Returns the resources whose servers agreed, by the client's own URIs. A
    /// server that does not answer in time has not agreed.
    pub async fn subscribe_resources(
        &self,
        targets: &[ResourceTarget],
        listeners: &ChangeFeeds,
    ) -> BTreeSet<Box<str>> {
        let one = |target: &ResourceTarget| {
            let (target, principal) = (target.clone(), Arc::clone(&self.principal));
            let ear = Subscriber::Subscription(self.entry.handle.clone());
            let listeners = listeners.clone();
            async move {
                let watcher = SubscriberContext {
                    principal: &principal,
                    session: None,
                    subscriber: ear,
                };
                let watched = WatchTarget::resource(&target);
                let interest = listeners.subscribe(watcher, &watched).await.ok()?;
                Some((target.exposed, interest))
            }
        };
        let agreed = join_all(targets.iter().map(one)).await;
        let watch = |(exposed, interest): (Box<str>, FeedSubscription)| {
            self.entry.resources.insert(exposed.clone(), interest);
            exposed
        };
        agreed.into_iter().flatten().map(watch).collect()
    }

    /// Subscribes to the status of tasks, each given as its status call. Returns the tasks whose servers agreed.
    pub async fn follow_tasks(
        &self,
        tasks: &[Arc<CallPlan>],
        listeners: &ChangeFeeds,
    ) -> BTreeSet<Box<str>> {
        let one = |call: &Arc<CallPlan>| {
            let (call, principal) = (Arc::clone(call), Arc::clone(&self.principal));
            let outlook = TaskStatusCall::new(Arc::clone(&call));
            let ear = Subscriber::Task(self.entry.handle.clone(), outlook.clone());
            let listeners = listeners.clone();
            async move {
                let watcher = SubscriberContext {
                    principal: &principal,
                    session: None,
                    subscriber: ear,
                };
                let task = call.target.task()?;
                let interest = listeners
                    .subscribe(watcher, &WatchTarget::task(task))
                    .await
                    .ok()?;
                Some((
                    task.exposed.clone(),
                    TaskSubscription {
                        status_call: outlook,
                        interest,
                    },
                ))
            }
        };
        let agreed = join_all(tasks.iter().map(one)).await;
        let follow = |(exposed, follow): (Box<str>, TaskSubscription)| {
            self.entry.tasks.insert(exposed.clone(), follow);
            exposed
        };
        agreed.into_iter().flatten().map(follow).collect()
    }

    /// Applies this view to resources and tasks that were subscribed to under an older one.
    pub fn apply_view(&self, view: &View) {
        self.entry.retain(&ViewComparison::new(view, view));
    }

    /// Acknowledges the filter and returns the stream.
    pub fn acknowledge(self, honoured: SubscriptionFilter) -> Result<SessionEventStream, Refusal> {
        self.entry
            .tell(SubscriptionMessage::Acknowledge(honoured))?;
        Ok(self.stream)
    }

    /// Marks all lists as changed, because the view was replaced while the subscription was being opened.
    pub fn mark_changed(&self) -> Result<(), Refusal> {
        self.entry
            .tell(SubscriptionMessage::Changed(ListChanges::ALL))
    }
}

impl SubscriptionEntry {
    /// Drops resources and tasks that the current view no longer permits.
    fn retain(&self, views: &ViewComparison<'_>) {
        if let Some((gateway, grant)) = views.current(&self.gateway, &self.authn) {
            self.resources.retain(gateway, grant);
            self.tasks.retain(gateway, grant);
        }
    }

    fn tell(&self, message: SubscriptionMessage) -> Result<(), Refusal> {
        self.handle
            .tell(message)
            .map_err(|_busy| Refusal::Overloaded)
    }
}

impl fmt::Debug for PendingSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({:?})", self.stream)
    }
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        self.table.subscriptions.remove_if(&self.number, |_| true);
    }
}

impl fmt::Debug for SubscriptionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscription {}", self.number)
    }
}

#[cfg(test)]
mod tests;
