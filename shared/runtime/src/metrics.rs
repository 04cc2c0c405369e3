//! Metrics, named after the OpenTelemetry semantic conventions for MCP. One meter feeds both the `/metrics` scrape and
//! the OTLP push. A [`LatencyHistogram`] or [`Counter`] carries its attributes already resolved, so that recording on a
//! hot path is an atomic addition: look it up once (per tool, when the view is built) and keep it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Histogram, Meter, MeterProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    metrics::{Instrument, SdkMeterProvider, Stream},
};
use prometheus::{Registry, TextEncoder};
use toolgate_model::{Timestamp, Version};

use crate::{clock::SharedClock, trace::Tracer};

/// Bucket bounds of the conventions, in seconds.
const OPERATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Bucket bounds of Toolgate's own latencies, in seconds, from 10 µs.
const OVERHEAD_BOUNDS: [f64; 14] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.005, 0.01,
    0.025, 0.1, 1.0,
];

/// Maximum number of series of one metric. Further sets of labels share one series, with the label `otel_metric_overflow`.
const SERIES: usize = 2_000;

/// All instruments of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<MetricInstruments>,
    tracer: Tracer,
}

/// Labels of an MCP operation's duration. Tool names come from known definitions only: an unknown name sent by a caller
/// is recorded as `_OTHER`.
#[derive(Debug, Clone, Copy, Default)]
pub struct OperationLabels<'a> {
    /// `mcp.method.name`
    pub method: &'a str,
    /// `gen_ai.tool.name`, for tool calls.
    pub tool: Option<&'a str>,
    /// `error.type`: a JSON-RPC code, `tool_error`, or a class of low cardinality. `None` for success.
    pub error: Option<&'a str>,
    /// `mcp.protocol.version`; empty if unknown.
    pub version: &'a str,
    /// Gateway of the request (`toolgate.gateway`), or empty.
    pub gateway: &'a str,
    /// Server of the request (`toolgate.server`), or empty.
    pub server: &'a str,
}

/// Duration histogram with resolved attributes.
#[derive(Debug, Clone)]
pub struct LatencyHistogram(BoundHistogram<f64>);

/// Counter with resolved attributes.
#[derive(Debug, Clone)]
pub struct Counter(BoundCounter<u64>);

/// Gauges of the version and age of the process's configuration.
#[derive(Debug, Clone)]
pub struct SnapshotGauge {
    shared: Arc<SnapshotGaugeValues>,
    clock: SharedClockDebug,
}

/// Gauge of a number that goes up and down, e.g. open connections.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

struct MetricInstruments {
    registry: Registry,
    provider: SdkMeterProvider,
    meter: Meter,
    server: Histogram<f64>,
    client: Histogram<f64>,
    overhead: Histogram<f64>,
    refusals: opentelemetry::metrics::Counter<u64>,
}

#[derive(Debug, Default)]
struct SnapshotGaugeValues {
    epoch: AtomicU64,
    revision: AtomicU64,
    confirmed_millis: AtomicU64,
}

#[derive(Clone)]
struct SharedClockDebug(SharedClock);

impl Metrics {
    /// Creates instruments for `/metrics` only. Instruments with an OTLP push come from
    /// [`telemetry`](crate::telemetry).
    pub fn new() -> Self {
        Self::with(SdkMeterProvider::builder())
    }

    pub(crate) fn with(builder: opentelemetry_sdk::metrics::MeterProviderBuilder) -> Self {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build();
        let limited = |_: &Instrument| {
            Stream::builder()
                .with_cardinality_limit(SERIES)
                .build()
                .ok()
        };
        let builder = builder.with_view(limited);
        let provider = match exporter {
            Ok(reader) => builder.with_reader(reader).build(),
            // A new registry accepts its first collector. Without one, `/metrics` is empty and everything else works.
            Err(_registered) => builder.build(),
        };
        let meter = provider.meter("toolgate");
        let histogram = |name, description, bounds: &[f64]| {
            let builder = meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description);
            builder.with_boundaries(bounds.to_vec()).build()
        };
        let server = histogram(
            "mcp.server.operation.duration",
            "How long an MCP request took that we answered",
            &OPERATION_BOUNDS,
        );
        let client = histogram(
            "mcp.client.operation.duration",
            "How long an MCP request took that we sent to a server",
            &OPERATION_BOUNDS,
        );
        let overhead = histogram(
            "toolgate.overhead.duration",
            "What Toolgate itself added to a request",
            &OVERHEAD_BOUNDS,
        );
        let refusals = meter
            .u64_counter("toolgate.refusals")
            .with_description("Requests refused, by reason")
            .build();
        let shared = MetricInstruments {
            registry,
            provider,
            meter,
            server,
            client,
            overhead,
            refusals,
        };
        Self {
            shared: Arc::new(shared),
            tracer: Tracer::default(),
        }
    }

    pub(crate) fn with_tracer(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    /// Returns the tracer; it is off if no exporter is configured.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Returns the histogram of this proxy's time to answer `operation`.
    pub fn server_operation(&self, operation: &OperationLabels<'_>) -> LatencyHistogram {
        LatencyHistogram(self.shared.server.bind(&operation.attributes()))
    }

    /// Returns the histogram of an upstream server's time to answer `operation`.
    pub fn client_operation(&self, operation: &OperationLabels<'_>) -> LatencyHistogram {
        LatencyHistogram(self.shared.client.bind(&operation.attributes()))
    }

    /// Returns the histogram of the latency added by Toolgate to requests of this method, e.g. `tools/call`.
    pub fn overhead(&self, method: &str) -> LatencyHistogram {
        let attributes = [KeyValue::new("mcp.method.name", method.to_owned())];
        LatencyHistogram(self.shared.overhead.bind(&attributes))
    }

    /// Returns the counter of refused requests for one reason of the refusal table.
    pub fn refusals(&self, reason: &'static str) -> Counter {
        Counter(
            self.shared
                .refusals
                .bind(&[KeyValue::new("reason", reason)]),
        )
    }

    /// Creates any other counter, named `toolgate.…`; `_total` is appended in the scrape.
    pub fn counter(
        &self,
        name: &'static str,
        description: &'static str,
        attributes: &[(&'static str, &str)],
    ) -> Counter {
        let counter = self
            .shared
            .meter
            .u64_counter(name)
            .with_description(description)
            .build();
        let attribute =
            |(key, value): &(&'static str, &str)| KeyValue::new(*key, (*value).to_owned());
        Counter(counter.bind(&attributes.iter().map(attribute).collect::<Vec<_>>()))
    }

    /// Creates any other duration histogram, named `toolgate.…`, with the fine buckets of the overhead.
    pub fn latency(
        &self,
        name: &'static str,
        description: &'static str,
        attributes: &[(&'static str, &str)],
    ) -> LatencyHistogram {
        let histogram = self.shared.meter.f64_histogram(name).with_unit("s");
        let histogram = histogram.with_description(description);
        let histogram = histogram.with_boundaries(OVERHEAD_BOUNDS.to_vec()).build();
        let attribute =
            |(key, value): &(&'static str, &str)| KeyValue::new(*key, (*value).to_owned());
        LatencyHistogram(histogram.bind(&attributes.iter().map(attribute).collect::<Vec<_>>()))
    }

    /// Creates any other gauge, named `toolgate.…`.
    pub fn gauge(&self, name: &'static str, description: &'static str) -> Gauge {
        let gauge = Gauge::default();
        let observed = gauge.clone();
        self.observe(name, "", description, move || observed.get() as f64);
        gauge
    }

    /// Creates a gauge whose value is computed on collection.
    pub fn observe<F>(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: F,
    ) where
        F: Fn() -> f64 + Send + Sync + 'static,
    {
        let builder = self.shared.meter.f64_observable_gauge(name).with_unit(unit);
        let builder = builder.with_description(description);
        // The provider keeps the instrument; the returned value is only a marker.
        let _registered = builder
            .with_callback(move |seen| seen.observe(value(), &[]))
            .build();
    }

    /// Creates the gauges of the held configuration: epoch, revision, and time since it was last confirmed as current.
    pub fn snapshot(&self, clock: SharedClock) -> SnapshotGauge {
        let gauge = SnapshotGauge {
            shared: Arc::default(),
            clock: SharedClockDebug(clock),
        };
        let (epoch, revision, age) = (gauge.clone(), gauge.clone(), gauge.clone());
        self.observe(
            "toolgate.snapshot.epoch",
            "",
            "Epoch of the configuration held",
            move || epoch.shared.epoch.load(Ordering::Relaxed) as f64,
        );
        self.observe(
            "toolgate.snapshot.revision",
            "",
            "Revision of the configuration held",
            move || revision.shared.revision.load(Ordering::Relaxed) as f64,
        );
        self.observe(
            "toolgate.snapshot.age",
            "s",
            "Since when the configuration held has not been confirmed by a control plane",
            move || age.age().as_secs_f64(),
        );
        gauge
    }

    /// Renders all metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.shared.registry.gather())
            .unwrap_or_default()
    }

    /// Pushes the remaining metrics and shuts the provider down. Blocking; for the end of the process.
    pub(crate) fn flush(&self) {
        if let Err(error) = self.shared.provider.shutdown() {
            tracing::debug!(%error, "the last metrics could not be pushed");
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl OperationLabels<'_> {
    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = vec![KeyValue::new("mcp.method.name", self.method.to_owned())];
        let mut add = |key: &'static str, value: &str| {
            if !value.is_empty() {
                attributes.push(KeyValue::new(key, value.to_owned()));
            }
        };
        if let Some(tool) = self.tool {
            add("gen_ai.tool.name", tool);
            add("gen_ai.operation.name", "execute_tool");
        }
        add("error.type", self.error.unwrap_or_default());
        add("mcp.protocol.version", self.version);
        add("network.transport", "tcp");
        add("toolgate.gateway", self.gateway);
        add("toolgate.server", self.server);
        attributes
    }
}

impl LatencyHistogram {
    /// Records one duration.
    pub fn record(&self, took: Duration) {
        self.0.record(took.as_secs_f64());
    }
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.0.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.add(count);
    }
}

impl Gauge {
    /// Adds one.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Subtracts one.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Returns the value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SnapshotGauge {
    /// Sets the version of the held configuration.
    pub fn held(&self, version: Version) {
        self.shared.epoch.store(version.epoch, Ordering::Relaxed);
        self.shared
            .revision
            .store(version.revision, Ordering::Relaxed);
    }

    /// Records that the held configuration is current, as reported by a control plane or implied by an open stream to
    /// one.
    pub fn mark_confirmed(&self) {
        self.shared
            .confirmed_millis
            .store(self.clock.0.now().0, Ordering::Relaxed);
    }

    /// Sets the time of the last confirmation, which a former process has recorded.
    pub fn set_confirmed(&self, at: Timestamp) {
        self.shared.confirmed_millis.store(at.0, Ordering::Relaxed);
    }

    /// Returns the time of the last confirmation; `None` before the first.
    pub fn confirmed(&self) -> Option<Timestamp> {
        let confirmed = self.shared.confirmed_millis.load(Ordering::Relaxed);
        (confirmed > 0).then_some(Timestamp(confirmed))
    }

    /// Returns the time since the last confirmation; zero before the first.
    pub fn age(&self) -> Duration {
        let confirmed = self.confirmed();
        confirmed.map_or(Duration::ZERO, |at| self.clock.0.now().since(at))
    }
}

/// Returns the OpenTelemetry resource of this process.
pub(crate) fn resource(service_name: &str) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder()
        .with_service_name(service_name.to_owned())
        .with_attribute(version)
        .build()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedClockDebug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedClock")
    }
}

#[cfg(test)]
mod tests;
