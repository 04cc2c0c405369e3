//! Sessions of which this proxy holds state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use toolgate_actor::{ActorHandle, ActorSystem, AskError, SendError};
use toolgate_data_core::{
    AuthnId, Caller, GatewayView, Refusal,
    notify::view_change::ViewComparison,
    plan::ResourceTarget,
    session::{
        LogLevel,
        session_id::{RANDOM_LEN, SessionClaims},
    },
};
use toolgate_model::{Slug, Timestamp};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, clock::SharedClock};

use super::{
    actor::{SessionActor, SessionMessage, StreamTiming},
    terminated_sessions::TerminatedSessions,
};
use crate::{
    change_feed::{ChangeFeeds, ResourceSubscriptions, Subscriber, SubscriberContext, WatchTarget},
    sharded_map::ShardedMap,
    stream::{SessionEventStream, StreamOwner},
};

/// Maximum number of sessions of which a proxy holds state.
pub const SESSIONS: usize = 100_000;

/// Maximum number of sessions per principal.
pub const SESSIONS_PER_PRINCIPAL: usize = 2_000;

/// Timeout of opening a stream.
const OPEN_STREAM_TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts per request while session actors end concurrently.
const OPEN_ATTEMPTS: usize = 2;

/// Key of a session: the random part of its id.
pub(crate) type SessionKey = [u8; RANDOM_LEN];

/// Registry of the sessions of legacy clients. Cheap to clone.
#[derive(Clone)]
pub struct SessionRegistry {
    table: Arc<SessionTable>,
    system: ActorSystem,
    clock: SharedClock,
    timing: StreamTiming,
}

/// Session of a request, with its gateway and caller.
#[derive(Debug, Clone, Copy)]
pub struct SessionContext<'a> {
    /// Content of the session id.
    pub facts: &'a SessionClaims,
    /// Gateway of the session.
    pub gateway: &'a Arc<GatewayView>,
    /// Caller, as authenticated for this request.
    pub caller: &'a Caller,
}

pub(crate) struct SessionTable {
    sessions: ShardedMap<SessionKey, Arc<SessionEntry>>,
    terminated: TerminatedSessions,
    quota: Arc<Quota>,
}

/// State of a session that is readable without its actor.
pub(crate) struct SessionEntry {
    handle: ActorHandle<SessionActor>,
    level: AtomicU8,
    gateway: Slug,
    authn: AuthnId,
    subscriptions: ResourceSubscriptions,
    /// Counts towards the quota of the principal.
    _permit: QuotaPermit,
}

impl SessionRegistry {
    /// Creates an empty registry with at most `share` sessions per principal.
    pub fn new(system: ActorSystem, clock: SharedClock, share: usize) -> Self {
        Self::with_timing(system, clock, share, StreamTiming::default())
    }

    fn with_timing(
        system: ActorSystem,
        clock: SharedClock,
        share: usize,
        timing: StreamTiming,
    ) -> Self {
        Self {
            table: Arc::new(SessionTable::new(share)),
            system,
            clock,
            timing,
        }
    }

    /// Returns the number of sessions with state.
    pub fn count(&self) -> usize {
        self.table.sessions.len()
    }

    /// Returns the time that decides on expiry.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns `true` if the session has expired or was terminated on this proxy. Other proxies do not know of a
    /// termination: there, the id is unknown only when it has expired.
    pub fn has_ended(&self, facts: &SessionClaims) -> bool {
        !facts.is_current(self.now()) || self.table.terminated.contains(&facts.random)
    }

    /// Returns the log level that the client set, without asking the actor.
    pub fn level(&self, facts: &SessionClaims) -> Option<LogLevel> {
        self.table.sessions.get(&facts.random)?.level()
    }

    /// Stores the log level.
    pub fn set_level(&self, subject: SessionContext<'_>, level: LogLevel) -> Result<(), Refusal> {
        for _attempt in 0..OPEN_ATTEMPTS {
            let standing = self.entry(subject)?;
            standing.store_level(level);
            match standing.handle.tell(SessionMessage::SetLevel(level)) {
                Ok(()) => return Ok(()),
                // The actor has just ended; the next attempt starts a new one.
                Err(SendError::Gone) => {}
                Err(SendError::Busy) => break,
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Opens a stream for messages of the server.
    pub async fn open_stream(
        &self,
        subject: SessionContext<'_>,
    ) -> Result<SessionEventStream, Refusal> {
        for _attempt in 0..OPEN_ATTEMPTS {
            let standing = self.entry(subject)?;
            match standing
                .handle
                .ask(OPEN_STREAM_TIMEOUT, SessionMessage::Open)
                .await
            {
                Ok((id, events)) => {
                    let session = StreamOwner::Session(id, standing.handle.clone());
                    return Ok(SessionEventStream::new(events, session));
                }
                Err(AskError::Gone) => {}
                Err(AskError::Busy | AskError::Timeout) => break,
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Sends a message that belongs to no request, if the session has state here.
    pub fn send(&self, facts: &SessionClaims, message: Bytes) {
        if let Some(standing) = self.table.sessions.get(&facts.random) {
            standing.tell(SessionMessage::Send(message));
        }
    }

    /// Subscribes the session to updates of a resource, if the server consents.
    pub async fn subscribe_resource(
        &self,
        subject: SessionContext<'_>,
        target: &ResourceTarget,
        listeners: &ChangeFeeds,
    ) -> Result<(), Refusal> {
        let standing = self.entry(subject)?;
        if standing
            .subscriptions
            .contains_or_has_room(&target.exposed)?
        {
            return Ok(());
        }
        let watcher = SubscriberContext {
            principal: subject.caller.principal(),
            session: Some(subject.facts.random),
            subscriber: Subscriber::Session(standing.handle.clone()),
        };
        let interest = listeners
            .subscribe(watcher, &WatchTarget::resource(target))
            .await?;
        standing
            .subscriptions
            .insert(target.exposed.clone(), interest);
        Ok(())
    }

    /// Ends the subscription to the resource with this URI, as the client knows it.
    pub fn unsubscribe_resource(&self, facts: &SessionClaims, exposed: &str) {
        if let Some(standing) = self.table.sessions.get(&facts.random) {
            standing.subscriptions.remove(exposed);
        }
    }

    /// Terminates the session: its streams end, and this proxy rejects its id from now on.
    pub fn terminate(&self, subject: SessionContext<'_>) {
        let (facts, principal) = (subject.facts, subject.caller.principal());
        self.table.terminated.insert(principal, facts, self.now());
        if let Some(standing) = self.table.sessions.get(&facts.random) {
            standing.tell(SessionMessage::Terminate);
        }
    }

    /// Notifies sessions whose lists changed, and ends sessions that lost their gateway or proof.
    pub fn view_changed(&self, views: &mut ViewComparison<'_>) {
        self.table.sessions.for_each(|_key, standing| {
            let concerns = views.changes_for(&standing.gateway, &standing.authn);
            if let Some((gateway, grant)) = views.current(&standing.gateway, &standing.authn) {
                standing.subscriptions.retain(gateway, grant);
            }
            match concerns {
                None => standing.tell(SessionMessage::Terminate),
                Some(kinds) if kinds.any() => standing.tell(SessionMessage::Changed(kinds)),
                Some(_) => {}
            }
        });
    }

    fn entry(&self, subject: SessionContext<'_>) -> Result<Arc<SessionEntry>, Refusal> {
        let key = subject.facts.random;
        // An actor that has just ended is replaced.
        let gone = |standing: &Arc<SessionEntry>| standing.handle.is_gone();
        self.table.sessions.remove_if(&key, gone);
        if self.has_ended(subject.facts) {
            return Err(Refusal::UnknownSession);
        }
        let registry = &self.table;
        registry.sessions.get_or_try(&key, Refusal::Overloaded, || {
            let share = registry
                .quota
                .acquire(BudgetOwner::of(subject.caller.principal()));
            let share = share.ok_or(Refusal::TooManyOpen("sessions"))?;
            Ok(self.start(key, subject, share))
        })
    }

    fn start(
        &self,
        key: SessionKey,
        subject: SessionContext<'_>,
        share: QuotaPermit,
    ) -> Arc<SessionEntry> {
        let authn = subject.caller.authn();
        let (clock, pace, expires) = (Arc::clone(&self.clock), self.timing, authn.expires);
        let registry = Arc::downgrade(&self.table);
        Arc::new_cyclic(|standing| {
            let standing = standing.clone();
            let actor = move || {
                let (clock, registry) = (Arc::clone(&clock), registry.clone());
                SessionActor::new(key, clock, pace, expires, registry, standing.clone())
            };
            SessionEntry {
                handle: self.system.spawn(actor),
                level: AtomicU8::new(0),
                gateway: subject.gateway.name.id.clone(),
                authn: authn.id,
                subscriptions: ResourceSubscriptions::default(),
                _permit: share,
            }
        })
    }
}

impl SessionTable {
    fn new(share: usize) -> Self {
        Self {
            sessions: ShardedMap::new(SESSIONS),
            terminated: TerminatedSessions::new(),
            quota: Quota::new(share),
        }
    }

    /// Removes the entry of an actor that has ended.
    pub(crate) fn forget(&self, key: &SessionKey, standing: &Arc<SessionEntry>) {
        self.sessions
            .remove_if(key, |found| Arc::ptr_eq(found, standing));
    }
}

impl SessionEntry {
    /// Returns `true` if the session subscribes to resources.
    pub(crate) fn has_subscriptions(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    pub(crate) fn level(&self) -> Option<LogLevel> {
        let level = usize::from(self.level.load(Ordering::Relaxed));
        LogLevel::ALL.get(level.checked_sub(1)?).copied()
    }

    fn store_level(&self, level: LogLevel) {
        self.level.store(level as u8 + 1, Ordering::Relaxed);
    }

    fn tell(&self, message: SessionMessage) {
        let must_arrive = matches!(message, SessionMessage::Terminate);
        if self.handle.tell(message).is_err() && must_arrive {
            self.handle.stop();
        }
    }
}

#[cfg(test)]
mod tests;
