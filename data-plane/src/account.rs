//! What is measured of every request. Handles are resolved the first time that something is called through a gateway, and
//! kept, so that counting is an atomic addition afterwards.

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

/// `error.type` of requests that were taken back, or whose client went away.
const CANCELLED: &str = "cancelled";
/// `error.type` of requests that a fault of ours ended.
const PANICKED: &str = "internal";

/// All measuring.
pub(crate) struct Accounts {
    metrics: Metrics,
    clock: SharedClock,
    meters: Meters,
    refusals: RwLock<BTreeMap<&'static str, Counter>>,
}

/// One request, from its arrival.
pub(crate) struct Account {
    accounts: Arc<Accounts>,
    began: Instant,
    /// Once it is known what was asked, and where.
    asked: Option<Asked>,
    /// How long others were waited for, where that is known.
    waited: Option<Duration>,
    /// Goes on as long as the request; none without an exporter.
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

    /// A request has arrived.
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

    /// Forgets gateways that are no longer there.
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
    /// When it arrived.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// It is known what is asked.
    pub(crate) fn asks(&mut self, gateway: &GatewayView, method: Method, version: &'static str) {
        self.asked = Some(Asked {
            meter: self.accounts.meters.gateway(&gateway.name.id),
            method,
            version,
            call: None,
        });
    }

    /// A span begins here, if spans go anywhere. Methods that nobody knows do not get to name it.
    pub(crate) fn traced(&mut self, method: &str, version: &'static str, incoming: Incoming<'_>) {
        self.span = self
            .accounts
            .metrics
            .tracer()
            .server(method, version, incoming);
    }

    /// Whether [`traced`](Self::traced) is worth its arguments.
    pub(crate) fn traces(&self) -> bool {
        self.accounts.metrics.tracer().is_on()
    }

    /// To hang the spans of calls below.
    pub(crate) fn parent(&self) -> Option<Parent> {
        self.span.as_ref().map(Span::parent)
    }

    /// A server is to be called.
    pub(crate) fn calls(&mut self, call: &Arc<CallPlan>) {
        if let Some(span) = &self.span {
            span.calls(call.target.method(), call.target.exposed());
        }
        if let Some(asked) = &mut self.asked {
            asked.call = Some(Arc::clone(call));
        }
    }

    /// Somebody else was waited for, since then.
    pub(crate) fn waited(&mut self, since: Instant) {
        self.waited = Some(self.now().saturating_duration_since(since));
    }

    /// It was answered from here.
    pub(crate) fn answered(self) {
        self.close(None);
    }

    /// Another proxy does it, and counts it.
    pub(crate) fn passed_on(mut self) {
        self.closed = true;
    }

    /// It was answered by a server.
    pub(crate) fn ended(self, outcome: Outcome) {
        if let Outcome::Failed(failure) = outcome {
            self.accounts.refusal(failure.kind());
        }
        self.close(class::error_of(outcome));
    }

    /// It was refused.
    pub(crate) fn refused(self, refusal: &Refusal) {
        self.accounts.refusal(refusal.kind());
        let error = refusal.kind();
        self.close(Some(error));
    }

    /// The time of now, for [`waited`](Self::waited).
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
        // Of a call that was streamed or taken back it is not known how much of it was ours.
        if call.is_none() || self.waited.is_some() {
            let own = took.saturating_sub(self.waited.unwrap_or_default());
            self.accounts.meters.overhead(*method, own);
        }
    }
}

impl Drop for Account {
    /// Nobody said how it ended: whoever asked went away or took it back, or we failed.
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
