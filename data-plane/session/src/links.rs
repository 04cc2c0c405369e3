//! Upstream sessions of this proxy. Facts are read from an [`ArcSwapOption`]; the actor is asked only if there are
//! none.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{runtime, task::JoinHandle};
use toolgate_actor::{ActorSystem, AskError, Handle};
use toolgate_data_core::{
    View,
    port::{self, LinkFacts, LinkKey, LinkNetwork, Pending},
    refusal::UpstreamFailure,
    session_id::RANDOM,
};
use toolgate_model::Timestamp;
use toolgate_runtime::{Taken, Tally, budget::Holder, clock::SharedClock, drain::Drain};

use crate::{
    link::{LinkActor, Message, Waiter},
    shard::Shards,
};

/// Maximum number of upstream sessions of a proxy.
pub const LINKS: usize = 50_000;

/// Maximum number of upstream sessions on behalf of one principal.
pub const LINKS_PER_PRINCIPAL: usize = LINKS / 4;

/// Time added to the timeouts of the two requests of a handshake.
const MARGIN: Duration = Duration::from_secs(10);

/// Interval at which a session checks if it is still in use.
const TICK: Duration = Duration::from_secs(60);

type Opening = Result<Arc<LinkFacts>, UpstreamFailure>;

/// Registry of the proxy's sessions with legacy servers. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

/// State shared by all upstream sessions.
pub(crate) struct Shared {
    links: Shards<LinkKey, Arc<Entry>>,
    principals: Arc<Tally>,
    network: Arc<dyn LinkNetwork>,
    system: ActorSystem,
    clock: SharedClock,
    drain: Drain,
    tick: Duration,
    /// Runtime that owns the connections: the one of the calls, not the actor threads.
    runtime: runtime::Handle,
}

/// Externally visible part of one upstream session.
pub(crate) struct Entry {
    pub(crate) facts: ArcSwapOption<LinkFacts>,
    handle: Handle<LinkActor>,
    /// Counts towards the quota of the principal.
    _share: Taken,
}

impl Links {
    /// Creates an empty registry with at most `share` sessions per principal. Must be called on the runtime on which
    /// calls are made.
    pub fn new(
        network: Arc<dyn LinkNetwork>,
        system: ActorSystem,
        clock: SharedClock,
        drain: Drain,
        share: usize,
    ) -> Self {
        Self::paced(network, system, clock, drain, (share, TICK))
    }

    fn paced(
        network: Arc<dyn LinkNetwork>,
        system: ActorSystem,
        clock: SharedClock,
        drain: Drain,
        (share, tick): (usize, Duration),
    ) -> Self {
        let shared = Shared {
            links: Shards::new(LINKS),
            principals: Tally::new(share),
            network,
            system,
            clock,
            drain,
            tick,
            runtime: runtime::Handle::current(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the number of sessions.
    pub fn count(&self) -> usize {
        self.shared.links.len()
    }

    /// Ends the sessions with servers that were removed or changed. Calls in flight continue.
    pub fn view_changed(&self, after: &View) {
        self.shared.links.for_each(|key, entry| {
            let server = after.server(&key.server.name);
            if server.is_none_or(|server| server.digest != key.server.digest) {
                entry.end();
            }
        });
    }

    /// Ends the upstream sessions that were opened for this client session alone.
    pub fn conversation_over(&self, conversation: &[u8; RANDOM]) {
        self.shared.links.for_each(|key, entry| {
            if key.conversation.as_ref() == Some(conversation) {
                entry.end();
            }
        });
    }

    /// Ends all sessions, so that no server keeps one without a use.
    pub fn end_all(&self) {
        self.shared.links.for_each(|_key, entry| entry.end());
    }

    /// Asks the session's actor; if the actor ends meanwhile, asks a new one once.
    async fn ask(
        &self,
        key: &LinkKey,
        message: impl Fn(Waiter) -> Message + Send + Sync,
    ) -> Opening {
        let timeouts = &key.server.timeouts;
        let deadline = 2 * (timeouts.connect + timeouts.first_byte) + MARGIN;
        let mut failure = UpstreamFailure::Unreachable;
        for _attempt in 0..2 {
            let entry = self.shared.entry(key)?;
            match entry.handle.ask(deadline, &message).await {
                Ok(opening) => return opening,
                Err(AskError::Gone) => self.shared.forget(key, &entry),
                Err(AskError::Busy) => failure = UpstreamFailure::Busy,
                // Only the handshake timed out: no call has been sent.
                Err(AskError::Timeout) => return Err(UpstreamFailure::Unreachable),
            }
        }
        Err(failure)
    }
}

impl port::Links for Links {
    fn standing(&self, key: &LinkKey) -> Option<Arc<LinkFacts>> {
        let facts = self.shared.links.get(key)?.facts.load_full()?;
        facts.touch(self.shared.now());
        Some(facts)
    }

    fn open(&self, key: &LinkKey) -> Pending<'_, Opening> {
        let key = key.clone();
        Box::pin(async move {
            match self.standing(&key) {
                Some(facts) => Ok(facts),
                None => self.ask(&key, Message::Wanted).await,
            }
        })
    }

    fn reopen(&self, key: &LinkKey, lost: &Arc<LinkFacts>) -> Pending<'_, Opening> {
        let (key, lost) = (key.clone(), Arc::clone(lost));
        Box::pin(async move {
            let message = |waiter| Message::Lost(Arc::clone(&lost), waiter);
            self.ask(&key, message).await
        })
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the interval at which a session checks if it is still in use.
    pub(crate) fn tick(&self) -> Duration {
        self.tick
    }

    /// Starts the handshake on the runtime of the calls.
    pub(crate) fn initialize(&self, key: &LinkKey) -> JoinHandle<Opening> {
        let opening = self.network.initialize(key);
        let clock = Arc::clone(&self.clock);
        let _entered = self.runtime.enter();
        self.drain.spawn("link handshake", async move {
            let opened = opening.await?;
            Ok(Arc::new(LinkFacts::new(opened, clock.now())))
        })
    }

    /// Starts the termination at the server; its result is ignored.
    pub(crate) fn terminate(&self, key: &LinkKey, facts: &LinkFacts) {
        if let Some(session) = &facts.opened.session {
            let ending = self.network.terminate(key, session);
            let _entered = self.runtime.enter();
            drop(self.drain.spawn("link end", ending));
        }
    }

    pub(crate) fn forget(&self, key: &LinkKey, entry: &Arc<Entry>) {
        self.links.remove_if(key, |found| Arc::ptr_eq(found, entry));
    }

    fn entry(self: &Arc<Self>, key: &LinkKey) -> Result<Arc<Entry>, UpstreamFailure> {
        self.links.get_or_try(key, UpstreamFailure::Busy, || {
            let share = self.principals.take(Holder::of(&key.principal));
            let share = share.ok_or(UpstreamFailure::TooManyOpen("sessions with servers"))?;
            Ok(self.start(key, share))
        })
    }

    fn start(self: &Arc<Self>, key: &LinkKey, share: Taken) -> Arc<Entry> {
        let shared = Arc::downgrade(self);
        let key = key.clone();
        Arc::new_cyclic(|entry: &Weak<Entry>| {
            let entry = entry.clone();
            let actor = move || LinkActor::new(key.clone(), shared.clone(), entry.clone());
            Entry {
                facts: ArcSwapOption::empty(),
                handle: self.system.spawn(actor),
                _share: share,
            }
        })
    }
}

impl Entry {
    fn end(&self) {
        if self.handle.tell(Message::End).is_err() {
            self.handle.stop();
        }
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links({})", self.count())
    }
}

#[cfg(test)]
mod tests;
