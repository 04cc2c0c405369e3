//! Every `subscriptions/listen` that this proxy holds open. One lasts as long as its stream: what is dropped with the
//! response is forgotten here.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;
use toolgate_actor::{ActorSystem, Handle};
use toolgate_data_core::{
    Caller, GatewayView, Refusal,
    change::{Comparison, Kinds},
    subscription::{Filter, Subscription},
};
use toolgate_model::{Principal, Slug, TokenHash};
use toolgate_runtime::clock::SharedClock;

use crate::{
    session::Pace,
    shard::{Full, Shards},
    stream::{EventStream, Of, STREAM_QUEUE},
    subscription::{Message, SubscriptionActor},
    tally::Tally,
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
#[derive(Debug)]
pub struct Opened {
    stream: EventStream,
    ear: Ear,
}

struct Registry {
    standing: Shards<u64, Arc<Standing>>,
    principals: Tally,
    next: AtomicU64,
}

struct Standing {
    ear: Ear,
    gateway: Slug,
    token: TokenHash,
}

/// Where to tell it something.
#[derive(Debug, Clone)]
struct Ear(Handle<SubscriptionActor>);

/// What is given back when the stream ends.
pub(crate) struct Place {
    registry: Arc<Registry>,
    number: u64,
    principal: Arc<Principal>,
}

impl Subscriptions {
    /// None yet.
    pub fn new(system: ActorSystem, clock: SharedClock) -> Self {
        Self::paced(system, clock, Pace::default())
    }

    fn paced(system: ActorSystem, clock: SharedClock, pace: Pace) -> Self {
        let registry = Registry {
            standing: Shards::new(SUBSCRIPTIONS),
            principals: Tally::new(SUBSCRIPTIONS),
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
        if !registry
            .principals
            .take(principal, SUBSCRIPTIONS_PER_PRINCIPAL)
        {
            return Err(Refusal::TooManyOpen("subscriptions"));
        }
        let number = registry.next.fetch_add(1, Ordering::Relaxed);
        // Gives back what was taken, also when there is no room.
        let place = Place {
            registry: Arc::clone(registry),
            number,
            principal: Arc::clone(principal),
        };
        let machine = Subscription::new(wanted.id.into(), &wanted.gateway.server_info);
        let (clock, pace, expires) = (Arc::clone(&self.clock), self.pace, token.expires);
        let actor =
            move || SubscriptionActor::new(machine.clone(), Arc::clone(&clock), pace, expires);
        let standing = registry.standing.get_or_insert(&number, || {
            Arc::new(Standing {
                ear: Ear(self.system.spawn(actor)),
                gateway: wanted.gateway.name.id.clone(),
                token: token.hash,
            })
        });
        let standing = standing.map_err(|Full| Refusal::Overloaded)?;
        let ear = standing.ear.clone();
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        let stream = EventStream::new(receiver, Of::Subscription(place));
        ear.tell(Message::Start(sender))?;
        Ok(Opened { stream, ear })
    }

    /// Tells whose lists changed, and ends what has no gateway or token any more.
    pub fn view_changed(&self, views: &mut Comparison<'_>) {
        self.registry.standing.for_each(|_number, standing| {
            let message = match views.concerns(&standing.gateway, &standing.token) {
                None => Message::End,
                Some(kinds) if kinds.any() => Message::Changed(kinds),
                Some(_) => return,
            };
            // One that is too busy for this is let go: it would go on with an old list.
            if standing.ear.tell(message).is_err() {
                standing.ear.0.stop();
            }
        });
    }
}

impl Opened {
    /// Says what is honoured, and hands out the stream on which everything is told.
    pub fn acknowledge(self, honoured: Filter) -> Result<EventStream, Refusal> {
        self.ear.tell(Message::Honoured(honoured))?;
        Ok(self.stream)
    }

    /// The view was replaced while it was being opened: everything may have changed.
    pub fn missed(&self) -> Result<(), Refusal> {
        self.ear.tell(Message::Changed(Kinds::ALL))
    }
}

impl Ear {
    fn tell(&self, message: Message) -> Result<(), Refusal> {
        self.0.tell(message).map_err(|_busy| Refusal::Overloaded)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.standing.remove_if(&self.number, |_| true);
        self.registry.principals.add(&self.principal, -1);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscription {}", self.number)
    }
}

#[cfg(test)]
mod tests;
