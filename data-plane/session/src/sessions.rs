//! Every session of which this proxy remembers something.

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

/// Sessions that one proxy remembers something of.
pub const SESSIONS: usize = 100_000;

/// Of these, how many of one principal.
pub const SESSIONS_PER_PRINCIPAL: usize = 2_000;

/// How long opening a stream may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// How often an actor that has just ended itself is replaced for one request.
const ATTEMPTS: usize = 2;

/// A session's name: its random part.
pub(crate) type SessionKey = [u8; RANDOM];

/// The sessions of legacy clients. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    registry: Arc<Registry>,
    system: ActorSystem,
    clock: SharedClock,
    pace: Pace,
}

/// Which session, and who speaks for it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What its id says.
    pub facts: &'a SessionFacts,
    /// The gateway it is with.
    pub gateway: &'a Arc<GatewayView>,
    /// Whose it is, as checked for this request.
    pub caller: &'a Caller,
}

pub(crate) struct Registry {
    standing: Shards<SessionKey, Arc<Standing>>,
    over: Graves,
    principals: Arc<Tally>,
}

/// What can be read of a session without asking it.
pub(crate) struct Standing {
    handle: Handle<SessionActor>,
    level: AtomicU8,
    gateway: Slug,
    token: TokenHash,
    watches: Watches,
    /// Its place among those of its principal.
    _share: Taken,
}

impl Sessions {
    /// None yet; so many of one principal at most.
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

    /// How many sessions something is remembered of.
    pub fn count(&self) -> usize {
        self.registry.standing.len()
    }

    /// The time that sessions go by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the session is too old, or was ended here. Other proxies do not hear of that: an id that was ended on
    /// one of them is unknown to all only when it no longer opens.
    pub fn is_over(&self, facts: &SessionFacts) -> bool {
        !facts.is_current(self.now()) || self.registry.over.has(&facts.random)
    }

    /// The level that the client set: no waiting, no mailbox.
    pub fn level(&self, facts: &SessionFacts) -> Option<LogLevel> {
        self.registry.standing.get(&facts.random)?.level()
    }

    /// Remembers the level.
    pub fn set_level(&self, subject: Subject<'_>, level: LogLevel) -> Result<(), Refusal> {
        for _attempt in 0..ATTEMPTS {
            let standing = self.standing(subject)?;
            standing.remember(level);
            match standing.handle.tell(Message::SetLevel(level)) {
                Ok(()) => return Ok(()),
                // It has just ended itself; the next one lives.
                Err(SendError::Gone) => {}
                Err(SendError::Busy) => break,
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Opens a stream for what the server has to say.
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

    /// Says something that belongs to no request, if the session is remembered here.
    pub fn say(&self, facts: &SessionFacts, message: Bytes) {
        if let Some(standing) = self.registry.standing.get(&facts.random) {
            standing.tell(Message::Say(message));
        }
    }

    /// Tells the session of updates of this resource from now on, if its server agrees.
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

    /// Tells the session no longer of updates of the resource that it knows by this URI.
    pub fn unwatch(&self, facts: &SessionFacts, exposed: &str) {
        if let Some(standing) = self.registry.standing.get(&facts.random) {
            standing.watches.remove(exposed);
        }
    }

    /// Ends the session: its streams end, and its id is unknown to this proxy from now on.
    pub fn terminate(&self, subject: Subject<'_>) {
        let (facts, principal) = (subject.facts, subject.caller.principal());
        self.registry.over.bury(principal, facts, self.now());
        if let Some(standing) = self.registry.standing.get(&facts.random) {
            standing.tell(Message::Terminate);
        }
    }

    /// Tells whose lists changed, and ends what has no gateway or token any more.
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
        // One that has just ended itself is replaced.
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

    /// The actor behind `standing` has ended.
    pub(crate) fn forget(&self, key: &SessionKey, standing: &Arc<Standing>) {
        self.standing
            .remove_if(key, |found| Arc::ptr_eq(found, standing));
    }
}

impl Standing {
    /// Whether it watches resources.
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
