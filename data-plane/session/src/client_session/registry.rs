//! Sessions of which this proxy holds state.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use toolgate_actor::{ActorHandle, ActorSystem, AskError, SendError};
use toolgate_data_core::{
    AuthnId, Caller, GatewayView, Refusal, View,
    notify::view_change::ViewComparison,
    plan::ResourceTarget,
    session::{LogLevel, session_id::SessionClaims},
};
use toolgate_model::{Slug, Timestamp};
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, clock::SharedClock};

use super::{
    actor::{SessionActor, SessionMessage},
    state::{SessionKey, SessionState},
    stream_guard::SessionStreamGuard,
    terminated_sessions::TerminatedSessions,
};
use crate::{
    change_feed::{ChangeFeeds, FeedTopic, SubscriberContext},
    registration::Registration,
    sharded_map::ShardedMap,
    stream::SessionEventStream,
    stream_timing::StreamTiming,
};

/// Maximum number of sessions of which a proxy holds state.
pub const SESSIONS: usize = 100_000;

/// Maximum number of sessions per principal.
pub const SESSIONS_PER_PRINCIPAL: usize = 2_000;

/// Timeout of opening a stream.
const OPEN_STREAM_TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts per request while session actors end concurrently.
const OPEN_ATTEMPTS: usize = 2;

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
    pub claims: &'a SessionClaims,
    /// Gateway of the session.
    pub gateway: &'a Arc<GatewayView>,
    /// Caller, as authenticated for this request.
    pub caller: &'a Caller,
}

struct SessionTable {
    sessions: Arc<ShardedMap<SessionKey, Arc<SessionEntry>>>,
    terminated: TerminatedSessions,
    quota: Arc<Quota>,
}

struct SessionEntry {
    handle: ActorHandle<SessionActor>,
    state: Arc<SessionState>,
    gateway: Slug,
    authn: AuthnId,
    /// Counts towards the quota of the principal.
    _permit: QuotaPermit,
}

impl SessionRegistry {
    /// Creates an empty registry with at most `quota` sessions per principal.
    pub fn new(system: ActorSystem, clock: SharedClock, quota: usize) -> Self {
        Self::with_timing(system, clock, quota, StreamTiming::default())
    }

    fn with_timing(
        system: ActorSystem,
        clock: SharedClock,
        quota: usize,
        timing: StreamTiming,
    ) -> Self {
        Self {
            table: Arc::new(SessionTable::new(quota)),
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
    pub fn has_ended(&self, claims: &SessionClaims) -> bool {
        !claims.is_current(self.now()) || self.table.terminated.contains(&claims.random)
    }

    /// Returns the log level that the client set, without asking the actor.
    pub fn level(&self, claims: &SessionClaims) -> Option<LogLevel> {
        self.table.sessions.get(&claims.random)?.state.level()
    }

    /// Stores the log level.
    pub fn set_level(&self, subject: SessionContext<'_>, level: LogLevel) -> Result<(), Refusal> {
        for _attempt in 0..OPEN_ATTEMPTS {
            let entry = self.entry(subject)?;
            entry.state.store_level(level);
            match entry.handle.tell(SessionMessage::SetLevel(level)) {
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
            let entry = self.entry(subject)?;
            match entry
                .handle
                .ask(OPEN_STREAM_TIMEOUT, SessionMessage::Open)
                .await
            {
                Ok((stream, events)) => {
                    let guard = SessionStreamGuard::new(stream, entry.handle.clone());
                    return Ok(SessionEventStream::new(events, guard));
                }
                Err(AskError::Gone) => {}
                Err(AskError::Busy | AskError::Timeout) => break,
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Sends a message that belongs to no request, if the session has state here.
    pub fn send(&self, claims: &SessionClaims, message: Bytes) {
        if let Some(entry) = self.table.sessions.get(&claims.random) {
            entry.tell(SessionMessage::Send(message));
        }
    }

    /// Subscribes the session to updates of a resource, if the server consents. `view` returns the current view, which
    /// may be newer than the view of the request by the time the server has answered.
    pub async fn subscribe_resource(
        &self,
        subject: SessionContext<'_>,
        target: &ResourceTarget,
        feeds: &ChangeFeeds,
        view: impl FnOnce() -> Arc<View> + Send,
    ) -> Result<(), Refusal> {
        let entry = self.entry(subject)?;
        let subscriptions = &entry.state.subscriptions;
        if subscriptions.contains_or_has_room(&target.exposed)? {
            return Ok(());
        }
        let context = SubscriberContext {
            principal: subject.caller.principal(),
            session: Some(subject.claims.random),
            subscriber: Arc::new(entry.handle.clone()),
        };
        let topic = FeedTopic::resource(target);
        let subscription = feeds.subscribe(context, &topic).await?;
        subscriptions.insert(target.exposed.clone(), subscription);
        let view = view();
        entry.apply(&mut ViewComparison::new(&view, &view));
        Ok(())
    }

    /// Ends the subscription to the resource with this URI, as the client knows it.
    pub fn unsubscribe_resource(&self, claims: &SessionClaims, exposed: &str) {
        if let Some(entry) = self.table.sessions.get(&claims.random) {
            entry.state.subscriptions.remove(exposed);
        }
    }

    /// Terminates the session: its streams end, and this proxy rejects its id while it is recorded as terminated.
    pub fn terminate(&self, subject: SessionContext<'_>) {
        let (claims, principal) = (subject.claims, subject.caller.principal());
        self.table.terminated.insert(principal, claims, self.now());
        if let Some(entry) = self.table.sessions.get(&claims.random) {
            entry.tell(SessionMessage::Terminate);
        }
    }

    /// Notifies sessions whose lists changed, and ends sessions that lost their gateway or proof.
    pub fn view_changed(&self, views: &mut ViewComparison<'_>) {
        self.table.sessions.for_each(|_key, entry| {
            entry.apply(views);
        });
    }

    fn entry(&self, subject: SessionContext<'_>) -> Result<Arc<SessionEntry>, Refusal> {
        let key = subject.claims.random;
        // An actor that has just ended is replaced.
        let is_gone = |entry: &Arc<SessionEntry>| entry.handle.is_gone();
        self.table.sessions.remove_if(&key, is_gone);
        if self.has_ended(subject.claims) {
            return Err(Refusal::UnknownSession);
        }
        let table = &self.table;
        table.sessions.get_or_try(&key, Refusal::Overloaded, || {
            let owner = BudgetOwner::of(subject.caller.principal());
            let permit = table.quota.acquire(owner);
            let permit = permit.ok_or(Refusal::TooManyOpen("sessions"))?;
            Ok(self.start(key, subject, permit))
        })
    }

    fn start(
        &self,
        key: SessionKey,
        subject: SessionContext<'_>,
        permit: QuotaPermit,
    ) -> Arc<SessionEntry> {
        let authn = subject.caller.authn();
        let (clock, timing) = (Arc::clone(&self.clock), self.timing);
        let state = Arc::<SessionState>::default();
        Arc::new_cyclic(|entry: &Weak<SessionEntry>| {
            let registration = Registration::new(&self.table.sessions, key, entry.clone());
            let actor_state = Arc::downgrade(&state);
            let actor = move || {
                let (clock, registration) = (Arc::clone(&clock), registration.clone());
                SessionActor::new(clock, timing, actor_state.clone(), registration)
            };
            SessionEntry {
                handle: self.system.spawn(actor),
                state,
                gateway: subject.gateway.name.id.clone(),
                authn: authn.id,
                _permit: permit,
            }
        })
    }
}

impl SessionTable {
    fn new(quota: usize) -> Self {
        Self {
            sessions: Arc::new(ShardedMap::new(SESSIONS)),
            terminated: TerminatedSessions::new(),
            quota: Quota::new(quota),
        }
    }
}

impl SessionEntry {
    /// Drops resources that the current view no longer permits, and tells the session of its other changes.
    fn apply(&self, views: &mut ViewComparison<'_>) {
        let (gateway, authn) = (&self.gateway, &self.authn);
        self.state.subscriptions.apply(views, gateway, authn);
        match views.changes_for(gateway, authn) {
            None => self.tell(SessionMessage::Terminate),
            Some(kinds) if kinds.any() => self.tell(SessionMessage::Changed(kinds)),
            Some(_) => {}
        }
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
