//! Traces: one SERVER span per answered request and one CLIENT child span per request sent upstream, with the names and
//! attributes of the semantic conventions for MCP. Without an exporter no span is created, and a request costs one
//! branch.

use std::{fmt, sync::Arc};

use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};

/// Method whose name argument is a URI.
const RESOURCES_READ: &str = "resources/read";

/// Creates spans if an exporter is configured. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<SdkTracer>>);

/// Open span; ended on drop.
pub struct TraceSpan {
    tracer: Arc<SdkTracer>,
    context: Context,
}

/// Parent for child spans, usable after the span itself has been moved.
#[derive(Clone)]
pub struct SpanParent {
    tracer: Arc<SdkTracer>,
    context: Context,
}

/// Trace context of an incoming request. Values in `_meta` take precedence over headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct IncomingTraceContext<'a> {
    /// `traceparent`, W3C form.
    pub parent: Option<&'a str>,
    /// `tracestate`, W3C form.
    pub state: Option<&'a str>,
}

impl Tracer {
    pub(crate) fn new(tracer: SdkTracer) -> Self {
        Self(Some(Arc::new(tracer)))
    }

    /// Returns `true` if spans are exported.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Starts the SERVER span of an incoming request.
    pub fn server(
        &self,
        method: &str,
        version: &'static str,
        incoming: IncomingTraceContext<'_>,
    ) -> Option<TraceSpan> {
        let tracer = Arc::clone(self.0.as_ref()?);
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &incoming);
        let attributes = vec![
            KeyValue::new("mcp.method.name", method.to_owned()),
            KeyValue::new("mcp.protocol.version", version),
            KeyValue::new("network.transport", "tcp"),
        ];
        let context = start(
            &tracer,
            method.to_owned(),
            SpanKind::Server,
            attributes,
            &parent,
        );
        Some(TraceSpan { tracer, context })
    }
}

impl TraceSpan {
    /// Sets the method and the name called, as known to the caller.
    pub fn set_call(&self, method: &'static str, name: Option<&str>) {
        let span = self.context.span();
        span.update_name(span_name(method, name));
        for attribute in name_attributes(method, name) {
            span.set_attribute(attribute);
        }
    }

    /// Sets the error class.
    pub fn set_error(&self, error: &'static str) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("error.type", error));
        span.set_status(Status::error(error));
    }

    /// Returns a parent for child spans.
    pub fn parent(&self) -> SpanParent {
        SpanParent {
            tracer: Arc::clone(&self.tracer),
            context: self.context.clone(),
        }
    }

    /// Returns the `traceparent` value for outgoing requests: `00-<trace>-<span>-<flags>`.
    pub fn traceparent(&self) -> String {
        let span = self.context.span();
        let known = span.span_context();
        let (trace, span, flags) = (known.trace_id(), known.span_id(), known.trace_flags());
        format!("00-{trace}-{span}-{:02x}", flags.to_u8())
    }
}

impl SpanParent {
    /// Starts the CLIENT span of a request to an upstream server, with the protocol version in use and the name known
    /// to the server.
    pub fn client(
        &self,
        method: &'static str,
        name: Option<&str>,
        (server, version): (&str, &str),
    ) -> TraceSpan {
        let mut attributes = vec![
            KeyValue::new("mcp.method.name", method),
            KeyValue::new("mcp.protocol.version", version.to_owned()),
            KeyValue::new("toolgate.server", server.to_owned()),
            KeyValue::new("network.transport", "tcp"),
        ];
        attributes.extend(name_attributes(method, name));
        let name = span_name(method, name);
        let context = start(
            &self.tracer,
            name,
            SpanKind::Client,
            attributes,
            &self.context,
        );
        TraceSpan {
            tracer: Arc::clone(&self.tracer),
            context,
        }
    }
}

impl Drop for TraceSpan {
    fn drop(&mut self) {
        self.context.span().end();
    }
}

/// Returns the name of a span. Names have low cardinality: URIs are left out.
fn span_name(method: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if method != RESOURCES_READ => format!("{method} {name}"),
        Some(_) | None => method.to_owned(),
    }
}

/// Returns the attributes of the name that a request of this method refers to.
fn name_attributes(method: &str, name: Option<&str>) -> Vec<KeyValue> {
    let key = match method {
        "tools/call" => "gen_ai.tool.name",
        "prompts/get" => "gen_ai.prompt.name",
        RESOURCES_READ => "mcp.resource.uri",
        _ => return Vec::new(),
    };
    let mut attributes: Vec<KeyValue> = name
        .map(|name| KeyValue::new(key, name.to_owned()))
        .into_iter()
        .collect();
    if method == "tools/call" {
        attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
    }
    attributes
}

fn start(
    tracer: &SdkTracer,
    name: String,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    parent: &Context,
) -> Context {
    let builder = tracer
        .span_builder(name)
        .with_kind(kind)
        .with_attributes(attributes);
    let span = builder.start_with_context(tracer, parent);
    parent.with_span(span)
}

impl Extractor for IncomingTraceContext<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.parent,
            "tracestate" => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl fmt::Debug for TraceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

impl fmt::Debug for SpanParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanParent")
    }
}

#[cfg(test)]
mod tests;
