//! What is measured, under the names of the OpenTelemetry conventions for MCP. One meter feeds both the scrape of
//! `/metrics` and the OTLP push. A [`Timing`] or [`Counter`] carries its attributes already resolved, so that
//! recording on a hot path is an atomic addition: look it up once (per tool, when the view is built), then keep it.

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
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use toolgate_model::Version;

use crate::{clock::SharedClock, trace::Tracer};

/// Bucket bounds of the conventions, in seconds.
const OPERATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Bucket bounds of what Toolgate itself adds, in seconds: from 10 µs.
const OVERHEAD_BOUNDS: [f64; 14] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.005, 0.01,
    0.025, 0.1, 1.0,
];

/// Every instrument of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
    tracer: Tracer,
}

/// One MCP operation, as its duration is labelled. Names of tools come from our own catalogue only: whatever a
/// caller made up is `_OTHER`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Operation<'a> {
    /// `mcp.method.name`
    pub method: &'a str,
    /// `gen_ai.tool.name`, on tool calls.
    pub tool: Option<&'a str>,
    /// `error.type`: a JSON-RPC code, `tool_error`, or a class of few values. None for success.
    pub error: Option<&'a str>,
    /// `mcp.protocol.version`; empty if not known.
    pub version: &'a str,
    /// The gateway it came through (`toolgate.gateway`), or empty.
    pub gateway: &'a str,
    /// The server it went to (`toolgate.server`), or empty.
    pub server: &'a str,
}

/// A duration with its attributes resolved.
#[derive(Debug, Clone)]
pub struct Timing(BoundHistogram<f64>);

/// A count with its attributes resolved.
#[derive(Debug, Clone)]
pub struct Counter(BoundCounter<u64>);

/// What a process knows of its configuration, for the gauges of version and age.
#[derive(Debug, Clone)]
pub struct SnapshotGauge {
    shared: Arc<SnapshotShown>,
    clock: SharedClockDebug,
}

/// A number that goes up and down, e.g. open connections.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

struct Shared {
    registry: Registry,
    provider: SdkMeterProvider,
    meter: Meter,
    server: Histogram<f64>,
    client: Histogram<f64>,
    overhead: Histogram<f64>,
    refusals: opentelemetry::metrics::Counter<u64>,
}

#[derive(Debug, Default)]
struct SnapshotShown {
    epoch: AtomicU64,
    revision: AtomicU64,
    confirmed_millis: AtomicU64,
}

#[derive(Clone)]
struct SharedClockDebug(SharedClock);

impl Metrics {
    /// Instruments that only `/metrics` shows. What is also pushed comes from [`telemetry`](crate::telemetry).
    pub fn new() -> Self {
        Self::with(SdkMeterProvider::builder())
    }

    pub(crate) fn with(builder: opentelemetry_sdk::metrics::MeterProviderBuilder) -> Self {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build();
        let provider = match exporter {
            Ok(reader) => builder.with_reader(reader).build(),
            // A fresh registry takes its first collector; without one, `/metrics` is empty and all else works.
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
        let shared = Shared {
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

    /// Makes spans of what is measured, if they go anywhere.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Where to record how long we took to answer `operation`.
    pub fn server_operation(&self, operation: &Operation<'_>) -> Timing {
        Timing(self.shared.server.bind(&operation.attributes()))
    }

    /// Where to record how long a server took to answer `operation`.
    pub fn client_operation(&self, operation: &Operation<'_>) -> Timing {
        Timing(self.shared.client.bind(&operation.attributes()))
    }

    /// Where to record what we added to a request of this kind, e.g. `tools/call`.
    pub fn overhead(&self, method: &str) -> Timing {
        let attributes = [KeyValue::new("mcp.method.name", method.to_owned())];
        Timing(self.shared.overhead.bind(&attributes))
    }

    /// Where to count refusals for one reason of the refusal table.
    pub fn refusals(&self, reason: &'static str) -> Counter {
        Counter(
            self.shared
                .refusals
                .bind(&[KeyValue::new("reason", reason)]),
        )
    }

    /// A count of anything else, named `toolgate.…`; `_total` is added where it is scraped.
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

    /// A duration of anything else, named `toolgate.…`, with the fine buckets of the overhead.
    pub fn timing(
        &self,
        name: &'static str,
        description: &'static str,
        attributes: &[(&'static str, &str)],
    ) -> Timing {
        let histogram = self.shared.meter.f64_histogram(name).with_unit("s");
        let histogram = histogram.with_description(description);
        let histogram = histogram.with_boundaries(OVERHEAD_BOUNDS.to_vec()).build();
        let attribute =
            |(key, value): &(&'static str, &str)| KeyValue::new(*key, (*value).to_owned());
        Timing(histogram.bind(&attributes.iter().map(attribute).collect::<Vec<_>>()))
    }

    /// A number of anything else that goes up and down, named `toolgate.…`.
    pub fn gauge(&self, name: &'static str, description: &'static str) -> Gauge {
        let gauge = Gauge::default();
        let shown = gauge.clone();
        self.observe(name, "", description, move || shown.get() as f64);
        gauge
    }

    /// A number that is worked out when somebody looks.
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
        // The instrument lives in the provider; what is returned here is only a marker.
        let _registered = builder
            .with_callback(move |seen| seen.observe(value(), &[]))
            .build();
    }

    /// The gauges of the configuration held: epoch, revision, and how long ago it was last known to be current.
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

    /// Everything, in the text form that Prometheus scrapes.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.shared.registry.gather())
            .unwrap_or_default()
    }

    /// Pushes what has not been pushed yet. Blocks; for the end of the process.
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

impl Operation<'_> {
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

impl Timing {
    /// Adds one duration.
    pub fn record(&self, took: Duration) {
        self.0.record(took.as_secs_f64());
    }
}

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.0.add(1);
    }

    /// Counts several.
    pub fn add(&self, count: u64) {
        self.0.add(count);
    }
}

impl Gauge {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// This many.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SnapshotGauge {
    /// This version is held.
    pub fn held(&self, version: Version) {
        self.shared.epoch.store(version.epoch, Ordering::Relaxed);
        self.shared
            .revision
            .store(version.revision, Ordering::Relaxed);
    }

    /// A control plane has just said, or a standing stream to one implies, that what is held is current.
    pub fn confirmed(&self) {
        self.shared
            .confirmed_millis
            .store(self.clock.0.now().0, Ordering::Relaxed);
    }

    /// How long ago that was; zero before the first time.
    pub fn age(&self) -> Duration {
        let confirmed = self.shared.confirmed_millis.load(Ordering::Relaxed);
        if confirmed == 0 {
            return Duration::ZERO;
        }
        self.clock
            .0
            .now()
            .since(toolgate_model::Timestamp(confirmed))
    }
}

/// Who we are, for whoever collects.
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
        f.write_str("clock")
    }
}

#[cfg(test)]
mod tests;
