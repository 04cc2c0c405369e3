//! Logs, traces and metrics. Logs are text or JSON on standard error, one line per event regardless of its content.
//! Traces and metrics are also exported to an OTLP collector if one is configured.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{metrics::SdkMeterProvider, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    metrics::{self, Metrics},
    trace::Tracer,
};

mod single_line;

use single_line::SingleLineWriter;

/// Format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable text.
    #[default]
    Text,
    /// JSON, with one object per line.
    Json,
}

/// Options of telemetry.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// Format of log lines.
    pub format: LogFormat,
    /// Log filter, e.g. `info,toolgate_sync=debug`.
    pub filter: String,
    /// Address of an OTLP collector over gRPC, e.g. `http://127.0.0.1:4317`.
    pub otlp_endpoint: Option<String>,
    /// Service name reported to the collector.
    pub service_name: String,
}

/// Running telemetry; flushes the remaining data when dropped.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    traces: Option<SdkTracerProvider>,
}

/// Error of a failed telemetry start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is invalid.
    #[error("`{given}` is not a log filter (like `info` or `info,toolgate_sync=debug`): {reason}")]
    Filter {
        /// Filter as configured.
        given: String,
        /// Parse error.
        reason: String,
    },
    /// The collector's address is not usable.
    #[error("cannot export to the OTLP collector: {0}")]
    Export(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A global subscriber has already been set.
    #[error("telemetry has been started before")]
    AlreadyStarted,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            filter: "info".to_owned(),
            otlp_endpoint: None,
            service_name: "toolgate".to_owned(),
        }
    }
}

/// Starts telemetry for the process. Call it once, inside the runtime.
pub fn init(options: &TelemetryOptions) -> Result<Telemetry, TelemetryError> {
    let bad_filter = |error: tracing_subscriber::filter::ParseError| TelemetryError::Filter {
        given: options.filter.clone(),
        reason: error.to_string(),
    };
    let filter = EnvFilter::try_new(&options.filter).map_err(bad_filter)?;
    let (metrics, traces) = instruments(options)?;
    let tracer = traces
        .as_ref()
        .map(|provider| Tracer::new(provider.tracer("toolgate")));
    let metrics = metrics.with_tracer(tracer.unwrap_or_default());
    let format = options.format;
    let colours = std::io::stderr().is_terminal();
    let lines = log_layer(format, colours, move || SingleLineWriter::stderr(format));
    let subscriber = Registry::default().with(lines).with(filter);
    subscriber
        .try_init()
        .map_err(|_set| TelemetryError::AlreadyStarted)?;
    log_panics();
    Ok(Telemetry { metrics, traces })
}

impl Telemetry {
    /// Returns the instruments.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.metrics.flush();
        if let Some(Err(error)) = self.traces.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::debug!(%error, "the last traces could not be pushed");
        }
    }
}

fn instruments(
    options: &TelemetryOptions,
) -> Result<(Metrics, Option<SdkTracerProvider>), TelemetryError> {
    let resource = metrics::resource(&options.service_name);
    let metered = SdkMeterProvider::builder().with_resource(resource.clone());
    let Some(endpoint) = &options.otlp_endpoint else {
        return Ok((Metrics::with(metered), None));
    };
    let numbers = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()?;
    let spans = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()?;
    let traced = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(spans);
    Ok((
        Metrics::with(metered.with_periodic_exporter(numbers)),
        Some(traced.build()),
    ))
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn log_layer(
    format: LogFormat,
    colours: bool,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> BoxedLayer {
    let lines = fmt::layer().with_writer(writer);
    match format {
        // Colour escapes are control characters, which the writer escapes: colours stay off.
        LogFormat::Text => lines.with_ansi(false).with_target(!colours).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    }
}

/// Logs panics: a panic caught by a task would otherwise not appear in the logs.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let payload = panic.payload();
        let literal = payload.downcast_ref::<&str>().copied();
        let reason = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let reason = reason.unwrap_or("not a text");
        tracing::error!(location, reason, "a task panicked");
    }));
}

#[cfg(test)]
mod tests;
