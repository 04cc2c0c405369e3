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

use super::{
    actor::{SubscriptionActor, SubscriptionMessage},
    subscriber::TaskSubscriber,
    task_subscriptions::{TaskSubscription, TaskSubscriptions},
};
use crate::{
    change_feed::{
        ChangeFeeds, FeedTopic, ResourceSubscriptions, Subscriber, SubscriberContext,
        TaskStatusCall,
    },
    sharded_map::{MapFull, ShardedMap},
    stream::{STREAM_QUEUE, SessionEventStream, StreamOwner},
    stream_timing::StreamTiming,
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
struct SubscriptionGuard {
    table: Arc<SubscriptionTable>,
    number: u64,
    _permit: QuotaPermit,
}

impl SubscriptionRegistry {
    /// Creates an empty registry with at most `quota` subscriptions per principal.
    pub fn new(system: ActorSystem, clock: SharedClock, quota: usize) -> Self {
        Self::with_timing(system, clock, quota, StreamTiming::default())
    }

    fn with_timing(
        system: ActorSystem,
        clock: SharedClock,
        quota: usize,
        timing: StreamTiming,
    ) -> Self {
        let table = SubscriptionTable {
            subscriptions: ShardedMap::new(SUBSCRIPTIONS),
            quota: Quota::new(quota),
            next: AtomicU64::new(1),
        };
        Self {
            table: Arc::new(table),
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
    pub fn open(&self, request: SubscriptionRequest<'_>) -> Result<PendingSubscription, Refusal> {
        let (authn, principal) = (request.caller.authn(), request.caller.principal());
        let table = &self.table;
        let permit = table.quota.acquire(BudgetOwner::of(principal));
        let permit = permit.ok_or(Refusal::TooManyOpen("subscriptions"))?;
        let number = table.next.fetch_add(1, Ordering::Relaxed);
        // Releases the quota, also if the map is full.
        let guard = SubscriptionGuard {
            table: Arc::clone(table),
            number,
            _permit: permit,
        };
        let machine = SubscriptionMachine::new(request.id.into(), &request.gateway.server_info);
        let (clock, timing, expires) = (Arc::clone(&self.clock), self.timing, authn.expires);
        let actor =
            move || SubscriptionActor::new(machine.clone(), Arc::clone(&clock), timing, expires);
        let entry = table.subscriptions.get_or_insert(&number, || {
            Arc::new(SubscriptionEntry {
                handle: self.system.spawn(actor),
                gateway: request.gateway.name.id.clone(),
                authn: authn.id,
                resources: ResourceSubscriptions::default(),
                tasks: TaskSubscriptions::default(),
            })
        });
        let entry = entry.map_err(|MapFull| Refusal::Overloaded)?;
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        let stream = SessionEventStream::new(receiver, guard);
        entry.tell(SubscriptionMessage::Start(sender))?;
        Ok(PendingSubscription {
            stream,
            entry,
            principal: Arc::clone(principal),
        })
    }

    /// Notifies subscriptions whose lists changed, and ends subscriptions that lost their gateway or proof.
    pub fn view_changed(&self, views: &mut ViewComparison<'_>) {
        self.table.subscriptions.for_each(|_number, entry| {
            entry.apply(views);
        });
    }
}

impl PendingSubscription {
    /// Subscribes to updates of resources. Returns the resources whose servers agreed, by the client's own URIs. A
    /// server that does not answer in time has not agreed.
    pub async fn subscribe_resources(
        &self,
        targets: &[ResourceTarget],
        feeds: &ChangeFeeds,
    ) -> BTreeSet<Box<str>> {
        let subscribe = |target: &ResourceTarget| {
            let (target, feeds) = (target.clone(), feeds.clone());
            let handle = self.entry.handle.clone();
            async move {
                let topic = FeedTopic::resource(&target);
                let context = self.subscriber_context(Arc::new(handle));
                let subscription = feeds.subscribe(context, &topic).await.ok()?;
                Some((target.exposed, subscription))
            }
        };
        let agreed = join_all(targets.iter().map(subscribe)).await;
        let agreed = agreed.into_iter().flatten();
        agreed
            .map(|(exposed, subscription)| {
                self.entry.resources.insert(exposed.clone(), subscription);
                exposed
            })
            .collect()
    }

    /// Subscribes to the status of tasks, each given as its status call. Returns the tasks whose servers agreed.
    pub async fn follow_tasks(
        &self,
        tasks: &[Arc<CallPlan>],
        feeds: &ChangeFeeds,
    ) -> BTreeSet<Box<str>> {
        let subscribe = |call: &Arc<CallPlan>| {
            let (call, feeds) = (Arc::clone(call), feeds.clone());
            let status_call = TaskStatusCall::new(Arc::clone(&call));
            let subscriber = TaskSubscriber {
                subscription: self.entry.handle.clone(),
                status_call: status_call.clone(),
            };
            async move {
                let task = call.target.task()?;
                let context = self.subscriber_context(Arc::new(subscriber));
                let topic = FeedTopic::task(task);
                let feed_subscription = feeds.subscribe(context, &topic).await.ok()?;
                let subscription = TaskSubscription {
                    status_call,
                    feed_subscription,
                };
                Some((task.exposed.clone(), subscription))
            }
        };
        let agreed = join_all(tasks.iter().map(subscribe)).await;
        let agreed = agreed.into_iter().flatten();
        agreed
            .map(|(exposed, subscription)| {
                self.entry.tasks.insert(exposed.clone(), subscription);
                exposed
            })
            .collect()
    }

    fn subscriber_context(&self, subscriber: Arc<dyn Subscriber>) -> SubscriberContext<'_> {
        SubscriberContext {
            principal: &self.principal,
            session: None,
            subscriber,
        }
    }

    /// Applies this view to resources and tasks that were subscribed to under an older one. The subscription ends if the
    /// client has no access to the gateway any more.
    pub fn apply_view(&self, view: &View) {
        self.entry.apply(&mut ViewComparison::new(view, view));
    }

    /// Acknowledges the filter and returns the stream.
    pub fn acknowledge(self, agreed: SubscriptionFilter) -> Result<SessionEventStream, Refusal> {
        self.entry.tell(SubscriptionMessage::Acknowledge(agreed))?;
        Ok(self.stream)
    }

    /// Marks all lists as changed, because the view was replaced while the subscription was being opened.
    pub fn mark_changed(&self) -> Result<(), Refusal> {
        self.entry
            .tell(SubscriptionMessage::Changed(ListChanges::ALL))
    }
}

impl SubscriptionEntry {
    /// Drops resources and tasks that the current view no longer permits, and tells the subscription of its other
    /// changes.
    fn apply(&self, views: &mut ViewComparison<'_>) {
        self.resources.apply(views, &self.gateway, &self.authn);
        if let Some((gateway, grant)) = views.current(&self.gateway, &self.authn) {
            self.tasks.retain(gateway, grant);
        }
        let message = match views.changes_for(&self.gateway, &self.authn) {
            None => SubscriptionMessage::End,
            Some(kinds) if kinds.any() => SubscriptionMessage::Changed(kinds),
            Some(_) => return,
        };
        // A subscription that cannot take the message is ended: it would continue with an outdated list.
        if self.tell(message).is_err() {
            self.handle.stop();
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
        write!(f, "PendingSubscription({:?})", self.stream)
    }
}

impl StreamOwner for SubscriptionGuard {}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        self.table.subscriptions.remove_if(&self.number, |_| true);
    }
}

impl fmt::Debug for SubscriptionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubscriptionGuard({})", self.number)
    }
}

#[cfg(test)]
mod tests;
