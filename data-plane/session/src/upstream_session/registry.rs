//! Upstream sessions of this proxy. An established session is read from an [`ArcSwapOption`]; its actor is asked only
//! if there is none. `S` is the session, as its transport keeps it.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{runtime, task::JoinHandle};
use toolgate_actor::{ActorHandle, ActorSystem, AskError};
use toolgate_data_core::{
    View,
    port::{
        BoxedFuture, UpstreamSession, UpstreamSessionKey, UpstreamSessionProvider,
        UpstreamSessionTransport,
    },
    refusal::UpstreamFailure,
    session::session_id::RANDOM_LEN,
};
use toolgate_model::Timestamp;
use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner, clock::SharedClock, drain::Drain};

use super::actor::{UpstreamSessionActor, UpstreamSessionMessage, UpstreamSessionReply};
use crate::sharded_map::ShardedMap;

/// Maximum number of upstream sessions of a proxy.
pub const UPSTREAM_SESSIONS: usize = 50_000;

/// Maximum number of upstream sessions on behalf of one principal.
pub const UPSTREAM_SESSIONS_PER_PRINCIPAL: usize = UPSTREAM_SESSIONS / 4;

/// Time added to the timeouts of the two requests of a handshake.
const HANDSHAKE_MARGIN: Duration = Duration::from_secs(10);

/// Interval at which a session checks if it is still in use.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(60);

type OpenResult<S> = Result<Arc<S>, UpstreamFailure>;

/// Registry of the proxy's sessions with legacy servers. Cheap to clone.
pub struct UpstreamSessionRegistry<S: UpstreamSession> {
    context: Arc<UpstreamSessionContext<S>>,
}

/// State shared by all upstream sessions.
pub(crate) struct UpstreamSessionContext<S: UpstreamSession> {
    sessions: ShardedMap<UpstreamSessionKey, Arc<UpstreamSessionEntry<S>>>,
    quota: Arc<Quota>,
    transport: Arc<dyn UpstreamSessionTransport<Session = S>>,
    system: ActorSystem,
    clock: SharedClock,
    drain: Drain,
    idle_check_interval: Duration,
    /// Runtime that owns the connections: the one of the calls, not the actor threads.
    runtime: runtime::Handle,
}

/// Externally visible part of one upstream session.
pub(crate) struct UpstreamSessionEntry<S: UpstreamSession> {
    pub(crate) session: ArcSwapOption<S>,
    handle: ActorHandle<UpstreamSessionActor<S>>,
    /// Counts towards the quota of the principal.
    _permit: QuotaPermit,
}

impl<S: UpstreamSession> UpstreamSessionRegistry<S> {
    /// Creates an empty registry with at most `share` sessions per principal. Must be called on the runtime on which
    /// calls are made.
    pub fn new(
        transport: Arc<dyn UpstreamSessionTransport<Session = S>>,
        system: ActorSystem,
        clock: SharedClock,
        drain: Drain,
        share: usize,
    ) -> Self {
        Self::with_idle_check(
            transport,
            system,
            clock,
            drain,
            (share, IDLE_CHECK_INTERVAL),
        )
    }

    fn with_idle_check(
        transport: Arc<dyn UpstreamSessionTransport<Session = S>>,
        system: ActorSystem,
        clock: SharedClock,
        drain: Drain,
        (share, tick): (usize, Duration),
    ) -> Self {
        let context = UpstreamSessionContext {
            sessions: ShardedMap::new(UPSTREAM_SESSIONS),
            quota: Quota::new(share),
            transport,
            system,
            clock,
            drain,
            idle_check_interval: tick,
            runtime: runtime::Handle::current(),
        };
        Self {
            context: Arc::new(context),
        }
    }

    /// Returns the number of sessions.
    pub fn count(&self) -> usize {
        self.context.sessions.len()
    }

    /// Ends the sessions with servers that were removed or changed. Calls in flight continue.
    pub fn view_changed(&self, after: &View) {
        self.context.sessions.for_each(|key, entry| {
            let server = after.server(&key.server.name);
            if server.is_none_or(|server| server.digest != key.server.digest) {
                entry.end();
            }
        });
    }

    /// Ends the upstream sessions that were opened for this client session alone.
    pub fn end_for_session(&self, conversation: &[u8; RANDOM_LEN]) {
        self.context.sessions.for_each(|key, entry| {
            if key.client_session.as_ref() == Some(conversation) {
                entry.end();
            }
        });
    }

    /// Ends all sessions, so that no server keeps one without a use.
    pub fn end_all(&self) {
        self.context.sessions.for_each(|_key, entry| entry.end());
    }

    /// Asks the session's actor; if the actor ends meanwhile, asks a new one once.
    async fn ask(
        &self,
        key: &UpstreamSessionKey,
        message: impl Fn(UpstreamSessionReply<S>) -> UpstreamSessionMessage<S> + Send + Sync,
    ) -> OpenResult<S> {
        let timeouts = &key.server.timeouts;
        let deadline = 2 * (timeouts.connect + timeouts.first_byte) + HANDSHAKE_MARGIN;
        let mut failure = UpstreamFailure::Unreachable;
        for _attempt in 0..2 {
            let entry = self.context.entry(key)?;
            match entry.handle.ask(deadline, &message).await {
                Ok(opening) => return opening,
                Err(AskError::Gone) => self.context.forget(key, &entry),
                Err(AskError::Busy) => failure = UpstreamFailure::Busy,
                // Only the handshake timed out: no call has been sent.
                Err(AskError::Timeout) => return Err(UpstreamFailure::Unreachable),
            }
        }
        Err(failure)
    }
}

impl<S: UpstreamSession> UpstreamSessionProvider<S> for UpstreamSessionRegistry<S> {
    fn established(&self, key: &UpstreamSessionKey) -> Option<Arc<S>> {
        let session = self.context.sessions.get(key)?.session.load_full()?;
        session.touch(self.context.now());
        Some(session)
    }

    fn open(&self, key: &UpstreamSessionKey) -> BoxedFuture<'_, OpenResult<S>> {
        let key = key.clone();
        Box::pin(async move {
            match self.established(&key) {
                Some(session) => Ok(session),
                None => self.ask(&key, UpstreamSessionMessage::Acquire).await,
            }
        })
    }

    fn reopen(&self, key: &UpstreamSessionKey, lost: &Arc<S>) -> BoxedFuture<'_, OpenResult<S>> {
        let (key, lost) = (key.clone(), Arc::clone(lost));
        Box::pin(async move {
            let message = |reply| UpstreamSessionMessage::Replace(Arc::clone(&lost), reply);
            self.ask(&key, message).await
        })
    }
}

impl<S: UpstreamSession> UpstreamSessionContext<S> {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the interval at which a session checks if it is still in use.
    pub(crate) fn idle_check_interval(&self) -> Duration {
        self.idle_check_interval
    }

    /// Starts the handshake on the runtime of the calls.
    pub(crate) fn initialize(&self, key: &UpstreamSessionKey) -> JoinHandle<OpenResult<S>> {
        let handshake = self.transport.initialize(key);
        let _entered = self.runtime.enter();
        self.drain.spawn("upstream session handshake", handshake)
    }

    /// Starts the termination at the server; its result is ignored.
    pub(crate) fn terminate(&self, key: &UpstreamSessionKey, session: &S) {
        let termination = self.transport.terminate(key, session);
        let _entered = self.runtime.enter();
        drop(self.drain.spawn("upstream session end", termination));
    }

    pub(crate) fn forget(&self, key: &UpstreamSessionKey, entry: &Arc<UpstreamSessionEntry<S>>) {
        self.sessions
            .remove_if(key, |found| Arc::ptr_eq(found, entry));
    }

    fn entry(
        self: &Arc<Self>,
        key: &UpstreamSessionKey,
    ) -> Result<Arc<UpstreamSessionEntry<S>>, UpstreamFailure> {
        self.sessions.get_or_try(key, UpstreamFailure::Busy, || {
            let permit = self.quota.acquire(BudgetOwner::of(&key.principal));
            let permit = permit.ok_or(UpstreamFailure::TooManyOpen("sessions with servers"))?;
            Ok(self.start(key, permit))
        })
    }

    fn start(
        self: &Arc<Self>,
        key: &UpstreamSessionKey,
        permit: QuotaPermit,
    ) -> Arc<UpstreamSessionEntry<S>> {
        let context = Arc::downgrade(self);
        let key = key.clone();
        Arc::new_cyclic(|entry: &Weak<UpstreamSessionEntry<S>>| {
            let entry = entry.clone();
            let actor =
                move || UpstreamSessionActor::new(key.clone(), context.clone(), entry.clone());
            UpstreamSessionEntry {
                session: ArcSwapOption::empty(),
                handle: self.system.spawn(actor),
                _permit: permit,
            }
        })
    }
}

impl<S: UpstreamSession> UpstreamSessionEntry<S> {
    fn end(&self) {
        if self.handle.tell(UpstreamSessionMessage::End).is_err() {
            self.handle.stop();
        }
    }
}

impl<S: UpstreamSession> Clone for UpstreamSessionRegistry<S> {
    fn clone(&self) -> Self {
        let context = Arc::clone(&self.context);
        Self { context }
    }
}

impl<S: UpstreamSession> fmt::Debug for UpstreamSessionRegistry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamSessionRegistry({})", self.count())
    }
}

#[cfg(test)]
mod tests;
