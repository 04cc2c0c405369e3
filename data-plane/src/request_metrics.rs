//! Metrics, spans and records of requests. Metric handles are resolved on first use and cached per gateway, so that
//! recording is an atomic addition afterwards.

mod labels;
mod meter;
mod request_facts;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use toolgate_data_core::{
    Caller, GatewayView, Refusal, View, plan::CallPlan, rewrite::CallOutcome,
};
use toolgate_model::{CallEndKind, Timestamp};
use toolgate_runtime::{
    Metrics, SharedClock,
    metrics::Counter,
    trace::{IncomingTraceContext, SpanParent, TraceSpan},
};
use toolgate_sync::{CallLog, CallLogEntry, CallSubject, ClientName};

use crate::event_limiter::EventLimiter;

pub(crate) use labels::MethodLabel;
use labels::RequestEnd;
use meter::{GatewayMeter, MeterRegistry, ProtocolVersions};
use request_facts::RequestFacts;

/// `error.type` of requests that were cancelled or whose client disconnected.
const CANCELLED: &str = "cancelled";
/// `error.type` of requests that ended in a panic.
const PANICKED: &str = "internal";

/// Maximum number of records in a second of requests without a caller. Such requests cost their sender nothing, and are not to
/// overwrite the records of others; the metric `toolgate_refusals_total` counts all of them.
const MAX_ANONYMOUS_RECORDS: u8 = 4;

/// Metrics of all requests.
pub(crate) struct RequestMetrics {
    metrics: Metrics,
    clock: SharedClock,
    meters: MeterRegistry,
    refusals: RwLock<BTreeMap<&'static str, Counter>>,
    log: Arc<CallLog>,
    anonymous_records: EventLimiter<MAX_ANONYMOUS_RECORDS>,
}

/// Measurement of one request, from its arrival.
pub(crate) struct RequestMeasurement {
    metrics: Arc<RequestMetrics>,
    started: Instant,
    /// Wall-clock time of arrival.
    received_at: Timestamp,
    /// Handles of the gateway; set once it is known.
    meter: Option<Arc<GatewayMeter>>,
    /// Labels; set once method and gateway are known.
    labels: Option<RequestLabels>,
    /// Facts for the record of the request.
    facts: RequestFacts,
    /// Time spent waiting for the upstream server, if known.
    upstream_time: Option<Duration>,
    /// Span of the request; `None` without a trace exporter.
    span: Option<TraceSpan>,
    closed: bool,
}

struct RequestLabels {
    method: MethodLabel,
    version: &'static str,
    call: Option<Arc<CallPlan>>,
}

impl RequestMetrics {
    pub(crate) fn new(metrics: &Metrics, clock: &SharedClock, log: &Arc<CallLog>) -> Arc<Self> {
        Arc::new(Self {
            meters: MeterRegistry::new(metrics.clone()),
            metrics: metrics.clone(),
            clock: Arc::clone(clock),
            refusals: RwLock::default(),
            log: Arc::clone(log),
            anonymous_records: EventLimiter::default(),
        })
    }

    /// Starts the measurement of a request that has arrived.
    pub(crate) fn open(self: &Arc<Self>) -> RequestMeasurement {
        RequestMeasurement {
            metrics: Arc::clone(self),
            started: self.clock.monotonic(),
            received_at: self.clock.now(),
            meter: None,
            labels: None,
            facts: RequestFacts::default(),
            upstream_time: None,
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

impl RequestMeasurement {
    /// Returns the time of arrival.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Returns the wall-clock time of arrival.
    pub(crate) fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Sets the gateway that the request names.
    pub(crate) fn set_gateway(&mut self, gateway: &GatewayView) {
        let meters = &self.metrics.meters;
        self.meter = Some(meters.gateway(&gateway.name, gateway.uid));
    }

    /// Sets the caller, which may enter the gateway.
    pub(crate) fn set_caller(&mut self, caller: &Caller) {
        self.facts.caller = Some(caller.clone());
    }

    /// Sets the name of the client program.
    pub(crate) fn set_client(&mut self, client: ClientName) {
        self.facts.client = client;
    }

    /// Sets the size of the message of the client.
    pub(crate) fn set_request_bytes(&mut self, bytes: usize) {
        self.facts.request_bytes = bytes as u64;
    }

    /// Adds to the size of the answer.
    pub(crate) fn add_response_bytes(&mut self, bytes: u64) {
        self.facts.response_bytes += bytes;
    }

    /// Sets the call of a request that is refused before the call is made, for its record.
    pub(crate) fn set_refused_call(&mut self, call: &Arc<CallPlan>) {
        self.facts.refused_call = Some(Arc::clone(call));
    }

    /// Sets method, gateway and protocol version.
    pub(crate) fn set_method(
        &mut self,
        gateway: &GatewayView,
        method: MethodLabel,
        version: &'static str,
    ) {
        if self.meter.is_none() {
            self.set_gateway(gateway);
        }
        self.labels = Some(RequestLabels {
            method,
            version,
            call: None,
        });
    }

    /// Starts the span if traces are exported. An unknown method does not become the span's name, so that names are
    /// bounded.
    pub(crate) fn start_span(
        &mut self,
        method: &str,
        version: &'static str,
        incoming: IncomingTraceContext<'_>,
    ) {
        self.span = self
            .metrics
            .metrics
            .tracer()
            .server(method, version, incoming);
    }

    /// Returns `true` if the arguments of [`start_span`](Self::start_span) are worth computing.
    pub(crate) fn is_tracing(&self) -> bool {
        self.metrics.metrics.tracer().is_on()
    }

    /// Returns the parent of the spans of upstream calls.
    pub(crate) fn span_parent(&self) -> Option<SpanParent> {
        self.span.as_ref().map(TraceSpan::parent)
    }

    /// Sets the upstream call that the request makes.
    pub(crate) fn set_call(&mut self, call: &Arc<CallPlan>) {
        if let Some(span) = &self.span {
            span.set_call(call.target.method(), call.target.exposed_name());
        }
        if let Some(labels) = &mut self.labels {
            labels.call = Some(Arc::clone(call));
        }
    }

    /// Records the time since `since` as time spent waiting for the upstream server.
    pub(crate) fn set_upstream_wait(&mut self, since: Instant) {
        self.upstream_time = Some(self.now().saturating_duration_since(since));
    }

    /// Records a request that was answered without an upstream call.
    pub(crate) fn answered(self) {
        self.close(RequestEnd::ANSWERED);
    }

    /// Ends the measurement without a record: the peer that executes the request records it.
    pub(crate) fn finish_forwarded(mut self) {
        self.closed = true;
    }

    /// Records a request that was answered by an upstream server.
    pub(crate) fn finish_call(self, outcome: CallOutcome) {
        if let CallOutcome::Failed(failure) = outcome {
            self.metrics.refusal(failure.kind());
        }
        self.close(RequestEnd::of_call(outcome));
    }

    /// Records a refused request.
    pub(crate) fn finish_refused(mut self, refusal: &Refusal) {
        self.metrics.refusal(refusal.kind());
        self.facts.set_refusal(refusal);
        self.close(RequestEnd {
            kind: CallEndKind::Refused,
            error: Some(refusal.kind()),
        });
    }

    /// Returns the current time, for [`set_upstream_wait`](Self::set_upstream_wait).
    pub(crate) fn now(&self) -> Instant {
        self.metrics.clock.monotonic()
    }

    fn close(mut self, end: RequestEnd) {
        self.closed = true;
        self.count(end);
    }

    fn count(&mut self, end: RequestEnd) {
        let error = end.error;
        if let (Some(span), Some(error)) = (&self.span, error) {
            span.set_error(error);
        }
        let Some(meter) = &self.meter else {
            return;
        };
        let took = self.now().saturating_duration_since(self.started);
        let Some(labels) = &self.labels else {
            let subject = meter.subject(MethodLabel::NONE);
            return self.record(subject, "", end, took);
        };
        let subject = match (&labels.call, &self.facts.refused_call) {
            (Some(call), _) => {
                let waited = self.upstream_time.unwrap_or(took);
                let server = call.server().spoken_version();
                let client = labels.version;
                let spoken = ProtocolVersions { client, server };
                let target = meter.target(call);
                target.record(error, spoken, took, waited);
                target.subject()
            }
            (None, refused_call) => {
                meter.method(labels.method, error, labels.version, took);
                match refused_call {
                    Some(call) => meter.target(call).subject(),
                    None => meter.subject(labels.method),
                }
            }
        };
        // Overhead is unknown for calls that were streamed or cancelled.
        if labels.call.is_none() || self.upstream_time.is_some() {
            let own = took.saturating_sub(self.upstream_time.unwrap_or_default());
            self.metrics.meters.overhead(labels.method, own);
        }
        let version = labels.version;
        self.record(subject, version, end, took);
    }

    /// Writes the record of the request. Of requests without a caller, few in a second have one.
    fn record(
        &mut self,
        subject: Arc<CallSubject>,
        version: &'static str,
        end: RequestEnd,
        took: Duration,
    ) {
        let facts = std::mem::take(&mut self.facts);
        let limiter = &self.metrics.anonymous_records;
        if facts.caller.is_none() && !limiter.admits(self.received_at) {
            return;
        }
        self.metrics.log.record(CallLogEntry {
            subject,
            received: self.received_at,
            duration: took,
            caller: facts.caller,
            client: facts.client,
            version,
            result: end.kind,
            reason: end.reason(),
            requested: facts.requested,
            request_bytes: facts.request_bytes,
            response_bytes: facts.response_bytes,
        });
    }
}

impl Drop for RequestMeasurement {
    /// Records a request without an explicit end: the client disconnected or cancelled it, or the handler panicked.
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let panicking = std::thread::panicking();
        let (kind, error) = match panicking {
            true => (CallEndKind::Failed, PANICKED),
            false => (CallEndKind::Cancelled, CANCELLED),
        };
        let error = Some(error);
        self.count(RequestEnd { kind, error });
    }
}

#[cfg(test)]
mod tests;
