//! Sessions of which this proxy holds state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use toolgate_actor::{ActorSystem, AskError, Handle, SendError};
use toolgate_data_core::{
    Caller, GatewayView, Refusal,
    change::Comparison,
    plan::ResourceTarget,
    session::LogLevel,
    session_id::{RANDOM, SessionFacts},
};
use toolgate_model::{Slug, Timestamp, TokenHash};
use toolgate_runtime::{Taken, Tally, budget::Holder, clock::SharedClock};

use crate::{
    graves::Graves,
    listener::Ear,
    listeners::{Listeners, Watched, Watcher},
    session::{Message, Pace, SessionActor},
    shard::Shards,
    stream::{EventStream, Of},
    watches::Watches,
};

/// Maximum number of sessions of which a proxy holds state.
pub const SESSIONS: usize = 100_000;

/// Maximum number of sessions per principal.
pub const SESSIONS_PER_PRINCIPAL: usize = 2_000;

/// Timeout of opening a stream.
const DEADLINE: Duration = Duration::from_secs(2);

/// Attempts per request while session actors end concurrently.
const ATTEMPTS: usize = 2;

/// Key of a session: the random part of its id.
pub(crate) type SessionKey = [u8; RANDOM];

/// Registry of the sessions of legacy clients. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    registry: Arc<Registry>,
    system: ActorSystem,
    clock: SharedClock,
    pace: Pace,
}

/// Session of a request, with its gateway and caller.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Content of the session id.
    pub facts: &'a SessionFacts,
    /// Gateway of the session.
    pub gateway: &'a Arc<GatewayView>,
    /// Caller, as authenticated for this request.
    pub caller: &'a Caller,
}

pub(crate) struct Registry {
    standing: Shards<SessionKey, Arc<Standing>>,
    over: Graves,
    principals: Arc<Tally>,
}

/// State of a session that is readable without its actor.
pub(crate) struct Standing {
    handle: Handle<SessionActor>,
    level: AtomicU8,
    gateway: Slug,
    token: TokenHash,
    watches: Watches,
    /// Counts towards the quota of the principal.
    _share: Taken,
}

impl Sessions {
    /// Creates an empty registry with at most `share` sessions per principal.
    pub fn new(system: ActorSystem, clock: SharedClock, share: usize) -> Self {
        Self::paced(system, clock, share, Pace::default())
    }

    fn paced(system: ActorSystem, clock: SharedClock, share: usize, pace: Pace) -> Self {
        Self {
            registry: Arc::new(Registry::new(share)),
            system,
            clock,
            pace,
        }
    }

    /// Returns the number of sessions with state.
    pub fn count(&self) -> usize {
        self.registry.standing.len()
    }

    /// Returns the time that decides on expiry.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns `true` if the session has expired or was terminated on this proxy. Other proxies do not know of a
    /// termination: there, the id is unknown only when it has expired.
    pub fn is_over(&self, facts: &SessionFacts) -> bool {
        !facts.is_current(self.now()) || self.registry.over.has(&facts.random)
    }

    /// Returns the log level that the client set, without asking the actor.
    pub fn level(&self, facts: &SessionFacts) -> Option<LogLevel> {
        self.registry.standing.get(&facts.random)?.level()
    }

    /// Stores the log level.
    pub fn set_level(&self, subject: Subject<'_>, level: LogLevel) -> Result<(), Refusal> {
        for _attempt in 0..ATTEMPTS {
            let standing = self.standing(subject)?;
            standing.remember(level);
            match standing.handle.tell(Message::SetLevel(level)) {
                Ok(()) => return Ok(()),
                // The actor has just ended; the next attempt starts a new one.
                Err(SendError::Gone) => {}
                Err(SendError::Busy) => break,
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Opens a stream for messages of the server.
    pub async fn open_stream(&self, subject: Subject<'_>) -> Result<EventStream, Refusal> {
        for _attempt in 0..ATTEMPTS {
            let standing = self.standing(subject)?;
            match standing.handle.ask(DEADLINE, Message::Open).await {
                Ok((id, events)) => {
                    let session = Of::Session(id, standing.handle.clone());
                    return Ok(EventStream::new(events, session));
                }
                Err(AskError::Gone) => {}
                Err(AskError::Busy | AskError::Timeout) => break,
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Sends a message that belongs to no request, if the session has state here.
    pub fn say(&self, facts: &SessionFacts, message: Bytes) {
        if let Some(standing) = self.registry.standing.get(&facts.random) {
            standing.tell(Message::Say(message));
        }
    }

    /// Subscribes the session to updates of a resource, if the server consents.
    pub async fn watch(
        &self,
        subject: Subject<'_>,
        target: &ResourceTarget,
        listeners: &Listeners,
    ) -> Result<(), Refusal> {
        let standing = self.standing(subject)?;
        if standing.watches.has(&target.exposed)? {
            return Ok(());
        }
        let watcher = Watcher {
            principal: subject.caller.principal(),
            conversation: Some(subject.facts.random),
            ear: Ear::Session(standing.handle.clone()),
        };
        let interest = listeners.watch(watcher, &Watched::resource(target)).await?;
        standing.watches.insert(target.exposed.clone(), interest);
        Ok(())
    }

    /// Ends the subscription to the resource with this URI, as the client knows it.
    pub fn unwatch(&self, facts: &SessionFacts, exposed: &str) {
        if let Some(standing) = self.registry.standing.get(&facts.random) {
            standing.watches.remove(exposed);
        }
    }

    /// Terminates the session: its streams end, and this proxy rejects its id from now on.
    pub fn terminate(&self, subject: Subject<'_>) {
        let (facts, principal) = (subject.facts, subject.caller.principal());
        self.registry.over.bury(principal, facts, self.now());
        if let Some(standing) = self.registry.standing.get(&facts.random) {
            standing.tell(Message::Terminate);
        }
    }

    /// Notifies sessions whose lists changed, and ends sessions without a gateway or token.
    pub fn view_changed(&self, views: &mut Comparison<'_>) {
        self.registry.standing.for_each(|_key, standing| {
            let concerns = views.concerns(&standing.gateway, &standing.token);
            if let Some((gateway, grant)) = views.now(&standing.gateway, &standing.token) {
                standing.watches.retain(gateway, grant);
            }
            match concerns {
                None => standing.tell(Message::Terminate),
                Some(kinds) if kinds.any() => standing.tell(Message::Changed(kinds)),
                Some(_) => {}
            }
        });
    }

    fn standing(&self, subject: Subject<'_>) -> Result<Arc<Standing>, Refusal> {
        let key = subject.facts.random;
        // An actor that has just ended is replaced.
        let gone = |standing: &Arc<Standing>| standing.handle.is_gone();
        self.registry.standing.remove_if(&key, gone);
        if self.is_over(subject.facts) {
            return Err(Refusal::UnknownSession);
        }
        let registry = &self.registry;
        registry.standing.get_or_try(&key, Refusal::Overloaded, || {
            let share = registry
                .principals
                .take(Holder::of(subject.caller.principal()));
            let share = share.ok_or(Refusal::TooManyOpen("sessions"))?;
            Ok(self.start(key, subject, share))
        })
    }

    fn start(&self, key: SessionKey, subject: Subject<'_>, share: Taken) -> Arc<Standing> {
        let token = subject.caller.token();
        let (clock, pace, expires) = (Arc::clone(&self.clock), self.pace, token.expires);
        let registry = Arc::downgrade(&self.registry);
        Arc::new_cyclic(|standing| {
            let standing = standing.clone();
            let actor = move || {
                let (clock, registry) = (Arc::clone(&clock), registry.clone());
                SessionActor::new(key, clock, pace, expires, registry, standing.clone())
            };
            Standing {
                handle: self.system.spawn(actor),
                level: AtomicU8::new(0),
                gateway: subject.gateway.name.id.clone(),
                token: token.hash,
                watches: Watches::default(),
                _share: share,
            }
        })
    }
}

impl Registry {
    fn new(share: usize) -> Self {
        Self {
            standing: Shards::new(SESSIONS),
            over: Graves::new(),
            principals: Tally::new(share),
        }
    }

    /// Removes the entry of an actor that has ended.
    pub(crate) fn forget(&self, key: &SessionKey, standing: &Arc<Standing>) {
        self.standing
            .remove_if(key, |found| Arc::ptr_eq(found, standing));
    }
}

impl Standing {
    /// Returns `true` if the session subscribes to resources.
    pub(crate) fn watches(&self) -> bool {
        !self.watches.is_empty()
    }

    pub(crate) fn level(&self) -> Option<LogLevel> {
        let level = usize::from(self.level.load(Ordering::Relaxed));
        LogLevel::ALL.get(level.checked_sub(1)?).copied()
    }

    fn remember(&self, level: LogLevel) {
        self.level.store(level as u8 + 1, Ordering::Relaxed);
    }

    fn tell(&self, message: Message) {
        let must_arrive = matches!(message, Message::Terminate);
        if self.handle.tell(message).is_err() && must_arrive {
            self.handle.stop();
        }
    }
}

#[cfg(test)]
mod tests;
