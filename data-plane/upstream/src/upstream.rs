//! A server as this proxy reaches it: endpoint, connection pool, circuit breaker and bulkhead. A failing server affects
//! its own callers only.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolgate_client::ClientError;
use toolgate_data_core::{ServerView, refusal::UpstreamFailure};
use toolgate_model::{Era, HealthState};
use toolgate_runtime::{Drain, SharedClock, budget::BudgetOwner};

use crate::{
    bulkhead::Bulkhead,
    circuit_breaker::{self, BreakerAdmission, CircuitBreaker},
    endpoint::{AuthenticatedEndpoint, CallTarget},
    endpoint_watch::{self, EndpointOwner},
    failure,
    health::{HealthMonitor, LastFailure, ReportedServer},
    permit::CallPermit,
    recovery::{self, WatchedServer},
};

/// A server with its endpoint and its limits.
pub(crate) struct Upstream {
    /// Configuration: another configuration makes another upstream.
    pub(crate) server: Arc<ServerView>,
    pub(crate) target: CallTarget,
    breaker: Mutex<CircuitBreaker>,
    /// `false` while the breaker admits everything and need not be locked.
    has_failures: AtomicBool,
    /// Number of times that the circuit opened or stayed open after a probe.
    trips: AtomicU32,
    bulkhead: Arc<Bulkhead>,
    /// Messages without an awaited response in flight to the server: as many as calls, each of which may be cancelled.
    messages: Arc<Semaphore>,
    /// `true` if the server sent no head of its last shared stream for a while.
    holds_back_stream_heads: AtomicBool,
    /// Description of the last failure.
    last_failure: Mutex<LastFailure>,
    /// Number of calls in a row whose credential the server refused.
    refused_credentials: AtomicU32,
    health: Arc<HealthMonitor>,
    clock: SharedClock,
    origin: Instant,
    /// `true` while a task waits for the recovery of the server.
    is_watched: AtomicBool,
    /// `true` while a task waits for the recovery of endpoints.
    are_endpoints_watched: AtomicBool,
    drain: Drain,
}

impl Upstream {
    /// Creates the upstream of a server that gets at most `calls` at a time.
    pub(crate) fn new(
        server: Arc<ServerView>,
        target: CallTarget,
        calls: usize,
        health: Arc<HealthMonitor>,
        clock: SharedClock,
        drain: Drain,
    ) -> Self {
        Self {
            server,
            target,
            breaker: Mutex::default(),
            has_failures: AtomicBool::new(false),
            trips: AtomicU32::new(0),
            bulkhead: Bulkhead::new(calls),
            messages: Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS))),
            holds_back_stream_heads: AtomicBool::new(false),
            last_failure: Mutex::default(),
            refused_credentials: AtomicU32::new(0),
            health,
            origin: clock.monotonic(),
            clock,
            is_watched: AtomicBool::new(false),
            are_endpoints_watched: AtomicBool::new(false),
            drain,
        }
    }

    /// Permits a request of the proxy itself, unless the circuit is open or the bulkhead is full.
    pub(crate) fn permit(self: &Arc<Self>) -> Result<CallPermit, UpstreamFailure> {
        let bulkhead = self.bulkhead.enter(None)?;
        CallPermit::new(Arc::clone(self), bulkhead)
    }

    /// Permits a call of `holder`, which needs a share of the quota if the bulkhead is crowded.
    pub(crate) fn permit_for(
        self: &Arc<Self>,
        holder: BudgetOwner,
    ) -> Result<CallPermit, UpstreamFailure> {
        let bulkhead = self.bulkhead.enter(Some(holder))?;
        CallPermit::new(Arc::clone(self), bulkhead)
    }

    /// Permits a message whose response is not awaited. `None` while as many as calls are in flight: a
    /// server that accepts none would get more and more of them, each on a connection of its own.
    pub(crate) fn message_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.messages).try_acquire_owned().ok()
    }

    /// Reports if the server sent no head of its last shared stream for a while: some send it with the first message.
    pub(crate) fn holds_back_stream_heads(&self) -> bool {
        self.holds_back_stream_heads.load(Ordering::Relaxed)
    }

    pub(crate) fn set_holds_back_stream_heads(&self, held_back: bool) {
        self.holds_back_stream_heads
            .store(held_back, Ordering::Relaxed);
    }

    /// Asks the circuit breaker to admit a request.
    pub(crate) fn admit(&self) -> BreakerAdmission {
        if !self.has_failures() {
            return BreakerAdmission::Pass;
        }
        let now = self.breaker_time();
        self.breaker().admit(now)
    }

    /// Reports if the circuit breaker has seen failures since the last success.
    pub(crate) fn has_failures(&self) -> bool {
        self.has_failures.load(Ordering::Relaxed)
    }

    /// Reports if the circuit is open or half open.
    pub(crate) fn is_circuit_open(&self) -> bool {
        self.has_failures() && self.breaker().is_open()
    }

    /// Returns the number of times that the circuit opened or stayed open after a probe.
    pub(crate) fn trips(&self) -> u32 {
        self.trips.load(Ordering::Relaxed)
    }

    /// Records a call that tried the server and failed: the circuit stays open.
    pub(crate) fn record_failed_probe(self: &Arc<Self>, failure: UpstreamFailure) {
        self.trips.fetch_add(1, Ordering::Relaxed);
        // It is not reported as failing if it has answered a ping meanwhile.
        if !self.health.is_failing(self.reported_server()) {
            self.report_failing(HealthState::Unavailable, Some(failure));
        }
        recovery::watch(self, failure);
    }

    /// Returns the time for the circuit breaker, in milliseconds.
    pub(crate) fn breaker_time(&self) -> u64 {
        let now = self.clock.monotonic();
        let passed = now.saturating_duration_since(self.origin);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Applies an outcome to the circuit breaker, and logs if the circuit opens or closes.
    /// `cause` is the failure that the outcome is, if any. Returns what `step` returns.
    pub(crate) fn change_breaker<R>(
        self: &Arc<Self>,
        cause: Option<UpstreamFailure>,
        step: impl FnOnce(&mut CircuitBreaker) -> R,
    ) -> R {
        let (outcome, opened, closed) = {
            let mut breaker = self.breaker();
            let before = breaker.is_open();
            let outcome = step(&mut breaker);
            let has_no_failures = breaker.has_no_failures();
            self.has_failures.store(!has_no_failures, Ordering::Relaxed);
            let is_open = breaker.is_open();
            (outcome, !before && is_open, before && !is_open)
        };
        let server = &self.server.name;
        if opened {
            self.trips.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%server, "the circuit of the server opened: it keeps failing");
            self.report_failing(HealthState::Unavailable, cause);
            recovery::watch(self, cause.unwrap_or(UpstreamFailure::Unreachable));
        } else if closed {
            self.report_recovered();
            tracing::info!(%server, "the circuit of the server closed: it answers again");
        }
        outcome
    }

    /// Keeps the description of a failure, which the verdict on the call does not have.
    pub(crate) fn describe_failure(&self, kind: UpstreamFailure, detail: &str) {
        *self.last_failure() = LastFailure::new(kind, detail);
    }

    /// Counts a call whose credential the server refused. From as many in a row on as open the circuit, the server counts
    /// as failing; the circuit stays closed, because the next call may have another credential.
    pub(crate) fn count_refused_credential(&self) {
        let count = self.refused_credentials.fetch_add(1, Ordering::Relaxed);
        if count.saturating_add(1) == circuit_breaker::FAILURES {
            self.report_failing(HealthState::Unauthorized, Some(UpstreamFailure::Credential));
        }
    }

    /// Ends a row of calls whose credential the server refused.
    pub(crate) fn accept_credential(&self) {
        if self.refused_credentials.load(Ordering::Relaxed) == 0 {
            return;
        }
        let count = self.refused_credentials.swap(0, Ordering::Relaxed);
        if count >= circuit_breaker::FAILURES && !self.is_circuit_open() {
            self.report_recovered();
        }
    }

    /// Returns the server with the configuration of this upstream, for reports of its health.
    pub(crate) fn reported_server(&self) -> ReportedServer<'_> {
        ReportedServer {
            name: &self.server.name,
            configuration: self.server.digest,
        }
    }

    fn report_failing(&self, state: HealthState, cause: Option<UpstreamFailure>) {
        let cause = cause.unwrap_or(UpstreamFailure::Unreachable);
        let last = self.last_failure().clone();
        let (server, now) = (self.reported_server(), self.clock.now());
        self.health
            .fail(server, state, cause, last.detail_of(cause), now);
    }

    /// Sets an endpoint aside to which no connection could be made: calls go to the other endpoints, if any, for a while.
    pub(crate) fn set_endpoint_aside(
        self: &Arc<Self>,
        endpoint: &AuthenticatedEndpoint,
        error: &ClientError,
    ) {
        if self.target.endpoint_count() == 1 {
            return;
        }
        let cause = LastFailure::new(failure::of(error), &error.public_message());
        let configured = &*endpoint.configured;
        let observed = &self.target.observed;
        if observed.set_aside(configured, &cause, self.clock.now()) {
            let (server, url) = (&self.server.name, &configured.url);
            let region = configured.region.as_deref().unwrap_or_default();
            tracing::warn!(%server, %url, region, %error, "an endpoint of a server is set aside: no connection could be made");
        }
        self.report_endpoints();
    }

    /// Records that an endpoint answers.
    pub(crate) fn record_endpoint_answer(&self, endpoint: &AuthenticatedEndpoint) {
        if self.target.observed.record_answer(&endpoint.configured) {
            self.report_recovered_endpoint(endpoint);
        }
    }

    fn report_recovered_endpoint(&self, endpoint: &AuthenticatedEndpoint) {
        let (server, url) = (&self.server.name, &endpoint.configured.url);
        tracing::info!(%server, %url, "an endpoint of a server answers again");
        let failing = self.target.observed.failing();
        self.health
            .set_failing_endpoints(self.reported_server(), failing);
    }

    /// Reports the endpoints that fail, and watches them until they answer again.
    pub(crate) fn report_endpoints(self: &Arc<Self>) {
        let failing = self.target.observed.failing();
        self.health
            .set_failing_endpoints(self.reported_server(), failing);
        endpoint_watch::watch(self);
    }

    pub(crate) fn last_failure(&self) -> MutexGuard<'_, LastFailure> {
        self.last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of calls at the server.
    #[cfg(test)]
    pub(crate) fn calls(&self) -> usize {
        self.bulkhead.load().0
    }

    fn breaker(&self) -> MutexGuard<'_, CircuitBreaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointOwner for Upstream {
    fn begin_endpoint_watch(&self) -> bool {
        !self.are_endpoints_watched.swap(true, Ordering::AcqRel)
    }

    fn end_endpoint_watch(&self) {
        self.are_endpoints_watched.store(false, Ordering::Release);
    }

    fn record_endpoint_ping(&self, endpoint: &AuthenticatedEndpoint) {
        let now = self.clock.now();
        if self.target.observed.record_ping(&endpoint.configured, now) {
            self.report_recovered_endpoint(endpoint);
        }
    }

    fn endpoint_target(&self) -> &CallTarget {
        &self.target
    }

    fn endpoint_era(&self) -> Era {
        self.server.era.unwrap_or(Era::Legacy)
    }

    fn endpoint_drain(&self) -> &Drain {
        &self.drain
    }
}

impl WatchedServer for Upstream {
    fn begin_watch(&self) -> bool {
        !self.is_watched.swap(true, Ordering::AcqRel)
    }

    fn end_watch(&self) {
        self.is_watched.store(false, Ordering::Release);
    }

    fn is_circuit_open(&self) -> bool {
        Self::is_circuit_open(self)
    }

    fn is_probe_due(&self) -> bool {
        let now = self.breaker_time();
        self.breaker().is_probe_due(now)
    }

    fn record_ping(self: Arc<Self>) {
        self.change_breaker(None, CircuitBreaker::record_ping);
    }

    fn report_recovered(&self) {
        let now = self.clock.now();
        self.health.recover(self.reported_server(), now);
    }

    fn target(&self) -> &CallTarget {
        &self.target
    }

    fn era(&self) -> Era {
        self.server.era.unwrap_or(Era::Legacy)
    }

    fn drain(&self) -> &Drain {
        &self.drain
    }
}

#[cfg(test)]
mod tests;
