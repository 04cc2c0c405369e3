//! Metrics and spans of requests. Metric handles are resolved on first use and cached per gateway, so that recording is
//! an atomic addition afterwards.

mod class;
mod meter;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use toolgate_data_core::{GatewayView, Refusal, View, plan::CallPlan, rewrite::Outcome};
use toolgate_runtime::{
    Metrics, SharedClock,
    metrics::Counter,
    trace::{Incoming, Parent, Span},
};

pub(crate) use class::Method;
use meter::{GatewayMeter, Meters, Spoken};

/// `error.type` of requests that were cancelled or whose client disconnected.
const CANCELLED: &str = "cancelled";
/// `error.type` of requests that ended in a panic.
const PANICKED: &str = "internal";

/// Metrics of all requests.
pub(crate) struct Accounts {
    metrics: Metrics,
    clock: SharedClock,
    meters: Meters,
    refusals: RwLock<BTreeMap<&'static str, Counter>>,
}

/// Measurement of one request, from its arrival.
pub(crate) struct Account {
    accounts: Arc<Accounts>,
    began: Instant,
    /// Labels; set once method and gateway are known.
    asked: Option<Asked>,
    /// Time spent waiting for the upstream server, if known.
    waited: Option<Duration>,
    /// Span of the request; `None` without a trace exporter.
    span: Option<Span>,
    closed: bool,
}

struct Asked {
    meter: Arc<GatewayMeter>,
    method: Method,
    version: &'static str,
    call: Option<Arc<CallPlan>>,
}

impl Accounts {
    pub(crate) fn new(metrics: Metrics, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            meters: Meters::new(metrics.clone()),
            metrics,
            clock,
            refusals: RwLock::default(),
        })
    }

    /// Starts the measurement of a request that has arrived.
    pub(crate) fn open(self: &Arc<Self>) -> Account {
        Account {
            accounts: Arc::clone(self),
            began: self.clock.monotonic(),
            asked: None,
            waited: None,
            span: None,
            closed: false,
        }
    }

    /// Drops the handles of gateways that no longer exist.
    pub(crate) fn retain(&self, view: &View) {
        self.meters.retain(view);
    }

    fn refusal(&self, kind: &'static str) {
        let known = self.refusals.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(kind) {
            return counter.increment();
        }
        drop(known);
        let mut known = self
            .refusals
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let made = known
            .entry(kind)
            .or_insert_with(|| self.metrics.refusals(kind));
        made.increment();
    }
}

impl Account {
    /// Returns the time of arrival.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Sets method, gateway and protocol version.
    pub(crate) fn asks(&mut self, gateway: &GatewayView, method: Method, version: &'static str) {
        self.asked = Some(Asked {
            meter: self.accounts.meters.gateway(&gateway.name.id),
            method,
            version,
            call: None,
        });
    }

    /// Starts the span if traces are exported. An unknown method does not become the span's name, so that names are
    /// bounded.
    pub(crate) fn traced(&mut self, method: &str, version: &'static str, incoming: Incoming<'_>) {
        self.span = self
            .accounts
            .metrics
            .tracer()
            .server(method, version, incoming);
    }

    /// Returns `true` if the arguments of [`start_span`](Self::start_span) are worth computing.
    pub(crate) fn traces(&self) -> bool {
        self.accounts.metrics.tracer().is_on()
    }

    /// Returns the parent of the spans of upstream calls.
    pub(crate) fn parent(&self) -> Option<Parent> {
        self.span.as_ref().map(Span::parent)
    }

    /// Sets the upstream call that the request makes.
    pub(crate) fn calls(&mut self, call: &Arc<CallPlan>) {
        if let Some(span) = &self.span {
            span.calls(call.target.method(), call.target.exposed());
        }
        if let Some(asked) = &mut self.asked {
            asked.call = Some(Arc::clone(call));
        }
    }

    /// Records the time since `since` as time spent waiting for the upstream server.
    pub(crate) fn waited(&mut self, since: Instant) {
        self.waited = Some(self.now().saturating_duration_since(since));
    }

    /// Records a request that was answered without an upstream call.
    pub(crate) fn answered(self) {
        self.close(None);
    }

    /// Ends the measurement without a record: the peer that executes the request records it.
    pub(crate) fn passed_on(mut self) {
        self.closed = true;
    }

    /// Records a request that was answered by an upstream server.
    pub(crate) fn ended(self, outcome: Outcome) {
        if let Outcome::Failed(failure) = outcome {
            self.accounts.refusal(failure.kind());
        }
        self.close(class::error_of(outcome));
    }

    /// Records a refused request.
    pub(crate) fn refused(self, refusal: &Refusal) {
        self.accounts.refusal(refusal.kind());
        let error = refusal.kind();
        self.close(Some(error));
    }

    /// Returns the current time, for [`set_upstream_wait`](Self::set_upstream_wait).
    pub(crate) fn now(&self) -> Instant {
        self.accounts.clock.monotonic()
    }

    fn close(mut self, error: Option<&'static str>) {
        self.closed = true;
        self.count(error);
    }

    fn count(&self, error: Option<&'static str>) {
        if let (Some(span), Some(error)) = (&self.span, error) {
            span.failed(error);
        }
        let Some(asked) = &self.asked else {
            return;
        };
        let took = self.now().saturating_duration_since(self.began);
        let Asked {
            meter,
            method,
            version,
            call,
        } = asked;
        match call {
            Some(call) => {
                let waited = self.waited.unwrap_or(took);
                let server = call.server().spoken();
                let client = *version;
                let spoken = Spoken { client, server };
                meter.target(call).record(error, spoken, took, waited);
            }
            None => meter.method(*method, error, version, took),
        }
        // Overhead is unknown for calls that were streamed or cancelled.
        if call.is_none() || self.waited.is_some() {
            let own = took.saturating_sub(self.waited.unwrap_or_default());
            self.accounts.meters.overhead(*method, own);
        }
    }
}

impl Drop for Account {
    /// Records a request without an explicit end: the client disconnected or cancelled it, or the handler panicked.
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let lost = std::thread::panicking();
        self.count(Some(if lost { PANICKED } else { CANCELLED }));
    }
}

#[cfg(test)]
mod tests;
