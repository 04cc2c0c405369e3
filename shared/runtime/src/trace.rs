//! Traces: one SERVER span for a request that we answer, one CLIENT span below it for each request that we send, with
//! the names and attributes of the semantic conventions for MCP. Without an exporter nothing is made, and a request
//! costs one branch.

use std::{fmt, sync::Arc};

use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};

/// What it is for is a URI.
const RESOURCES_READ: &str = "resources/read";

/// Makes spans, or nothing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<SdkTracer>>);

/// A span that goes on until it is dropped.
pub struct Span {
    tracer: Arc<SdkTracer>,
    context: Context,
}

/// A place to hang a child below, after the span itself has been moved elsewhere.
#[derive(Clone)]
pub struct Parent {
    tracer: Arc<SdkTracer>,
    context: Context,
}

/// What a request says of the trace that it belongs to; its `_meta` goes before its headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Incoming<'a> {
    /// `traceparent`, W3C form.
    pub parent: Option<&'a str>,
    /// `tracestate`, W3C form.
    pub state: Option<&'a str>,
}

impl Tracer {
    pub(crate) fn new(tracer: SdkTracer) -> Self {
        Self(Some(Arc::new(tracer)))
    }

    /// Whether spans go anywhere.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A request of this method has come in.
    pub fn server(
        &self,
        method: &str,
        version: &'static str,
        incoming: Incoming<'_>,
    ) -> Option<Span> {
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
        Some(Span { tracer, context })
    }
}

impl Span {
    /// It calls this, by the name that the caller knows.
    pub fn calls(&self, method: &'static str, name: Option<&str>) {
        let span = self.context.span();
        span.update_name(named(method, name));
        for attribute in about(method, name) {
            span.set_attribute(attribute);
        }
    }

    /// It came to this error, by its class.
    pub fn failed(&self, error: &'static str) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("error.type", error));
        span.set_status(Status::error(error));
    }

    /// To hang children below.
    pub fn parent(&self) -> Parent {
        Parent {
            tracer: Arc::clone(&self.tracer),
            context: self.context.clone(),
        }
    }

    /// As it is told to whom we call: `00-<trace>-<span>-<flags>`.
    pub fn traceparent(&self) -> String {
        let span = self.context.span();
        let known = span.span_context();
        let (trace, span, flags) = (known.trace_id(), known.span_id(), known.trace_flags());
        format!("00-{trace}-{span}-{:02x}", flags.to_u8())
    }
}

impl Parent {
    /// A request of this method goes out to a server, in the version that is spoken with it, for what the server calls by
    /// this name.
    pub fn client(
        &self,
        method: &'static str,
        name: Option<&str>,
        (server, version): (&str, &str),
    ) -> Span {
        let mut attributes = vec![
            KeyValue::new("mcp.method.name", method),
            KeyValue::new("mcp.protocol.version", version.to_owned()),
            KeyValue::new("toolgate.server", server.to_owned()),
            KeyValue::new("network.transport", "tcp"),
        ];
        attributes.extend(about(method, name));
        let name = named(method, name);
        let context = start(
            &self.tracer,
            name,
            SpanKind::Client,
            attributes,
            &self.context,
        );
        Span {
            tracer: Arc::clone(&self.tracer),
            context,
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.context.span().end();
    }
}

/// What a span is called: few names, so URIs are not among them.
fn named(method: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if method != RESOURCES_READ => format!("{method} {name}"),
        Some(_) | None => method.to_owned(),
    }
}

/// What is told of the name that a request of this method is for.
fn about(method: &str, name: Option<&str>) -> Vec<KeyValue> {
    let key = match method {
        "tools/call" => "gen_ai.tool.name",
        "prompts/get" => "gen_ai.prompt.name",
        RESOURCES_READ => "mcp.resource.uri",
        _ => return Vec::new(),
    };
    let mut told: Vec<KeyValue> = name
        .map(|name| KeyValue::new(key, name.to_owned()))
        .into_iter()
        .collect();
    if method == "tools/call" {
        told.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
    }
    told
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

impl Extractor for Incoming<'_> {
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

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parent")
    }
}

#[cfg(test)]
mod tests;
