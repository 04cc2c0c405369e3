//! Metrics and spans of requests. Metric handles are resolved on first use and cached per gateway, so that recording is
//! an atomic addition afterwards.

mod labels;
mod meter;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use toolgate_data_core::{GatewayView, Refusal, View, plan::CallPlan, rewrite::CallOutcome};
use toolgate_model::Timestamp;
use toolgate_runtime::{
    Metrics, SharedClock,
    metrics::Counter,
    trace::{IncomingTraceContext, SpanParent, TraceSpan},
};

pub(crate) use labels::MethodLabel;
use meter::{GatewayMeter, MeterRegistry, ProtocolVersions};

/// `error.type` of requests that were cancelled or whose client disconnected.
const CANCELLED: &str = "cancelled";
/// `error.type` of requests that ended in a panic.
const PANICKED: &str = "internal";

/// Metrics of all requests.
pub(crate) struct RequestMetrics {
    metrics: Metrics,
    clock: SharedClock,
    meters: MeterRegistry,
    refusals: RwLock<BTreeMap<&'static str, Counter>>,
}

/// Measurement of one request, from its arrival.
pub(crate) struct RequestMeasurement {
    metrics: Arc<RequestMetrics>,
    started: Instant,
    /// Wall-clock time of arrival.
    received_at: Timestamp,
    /// Labels; set once method and gateway are known.
    labels: Option<RequestLabels>,
    /// Time spent waiting for the upstream server, if known.
    upstream_time: Option<Duration>,
    /// Span of the request; `None` without a trace exporter.
    span: Option<TraceSpan>,
    closed: bool,
}

struct RequestLabels {
    meter: Arc<GatewayMeter>,
    method: MethodLabel,
    version: &'static str,
    call: Option<Arc<CallPlan>>,
}

impl RequestMetrics {
    pub(crate) fn new(metrics: Metrics, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            meters: MeterRegistry::new(metrics.clone()),
            metrics,
            clock,
            refusals: RwLock::default(),
        })
    }

    /// Starts the measurement of a request that has arrived.
    pub(crate) fn open(self: &Arc<Self>) -> RequestMeasurement {
        RequestMeasurement {
            metrics: Arc::clone(self),
            started: self.clock.monotonic(),
            received_at: self.clock.now(),
            labels: None,
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

    /// Sets method, gateway and protocol version.
    pub(crate) fn set_method(
        &mut self,
        gateway: &GatewayView,
        method: MethodLabel,
        version: &'static str,
    ) {
        self.labels = Some(RequestLabels {
            meter: self.metrics.meters.gateway(&gateway.name.id),
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
        self.close(None);
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
        self.close(labels::error_label(outcome));
    }

    /// Records a refused request.
    pub(crate) fn finish_refused(self, refusal: &Refusal) {
        self.metrics.refusal(refusal.kind());
        let error = refusal.kind();
        self.close(Some(error));
    }

    /// Returns the current time, for [`set_upstream_wait`](Self::set_upstream_wait).
    pub(crate) fn now(&self) -> Instant {
        self.metrics.clock.monotonic()
    }

    fn close(mut self, error: Option<&'static str>) {
        self.closed = true;
        self.count(error);
    }

    fn count(&self, error: Option<&'static str>) {
        if let (Some(span), Some(error)) = (&self.span, error) {
            span.set_error(error);
        }
        let Some(labels) = &self.labels else {
            return;
        };
        let took = self.now().saturating_duration_since(self.started);
        let RequestLabels {
            meter,
            method,
            version,
            call,
        } = labels;
        match call {
            Some(call) => {
                let waited = self.upstream_time.unwrap_or(took);
                let server = call.server().spoken_version();
                let client = *version;
                let spoken = ProtocolVersions { client, server };
                meter.target(call).record(error, spoken, took, waited);
            }
            None => meter.method(*method, error, version, took),
        }
        // Overhead is unknown for calls that were streamed or cancelled.
        if call.is_none() || self.upstream_time.is_some() {
            let own = took.saturating_sub(self.upstream_time.unwrap_or_default());
            self.metrics.meters.overhead(*method, own);
        }
    }
}

impl Drop for RequestMeasurement {
    /// Records a request without an explicit end: the client disconnected or cancelled it, or the handler panicked.
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let panicking = std::thread::panicking();
        self.count(Some(if panicking { PANICKED } else { CANCELLED }));
    }
}

#[cfg(test)]
mod tests;
