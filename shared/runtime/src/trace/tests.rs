//! Tests of traces as exported to a tracing back end.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};

use super::*;

#[derive(Debug, Clone, Default)]
struct CapturedSpans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for CapturedSpans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

const OUTSIDE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_call_has_a_server_span_and_a_client_span_in_the_callers_trace() {
    let seen = CapturedSpans::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(seen.clone())
        .build();
    let tracer = Tracer::new(provider.tracer("test"));
    let incoming = IncomingTraceContext {
        parent: Some(OUTSIDE),
        state: None,
    };
    let request = tracer.server("tools/call", "2026-07-28", incoming).unwrap();
    request.set_call("tools/call", Some("demo__add"));
    let sent = request
        .parent()
        .client("tools/call", Some("add"), ("acme/demo", "2025-06-18"));
    let told = sent.traceparent();
    sent.set_error("timeout");
    drop((sent, request));
    let spans = seen.0.lock().unwrap().clone();
    let [client, server] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(
        (server.name.as_ref(), &server.span_kind),
        ("tools/call demo__add", &SpanKind::Server)
    );
    assert_eq!(
        (client.name.as_ref(), &client.span_kind),
        ("tools/call add", &SpanKind::Client)
    );
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    assert_eq!(server.parent_span_id.to_string(), "b7ad6b7169203331");
    assert!(
        told.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{told}"
    );
    assert!(
        told.contains(&client.span_context.span_id().to_string()),
        "{told}"
    );
    assert!(
        client
            .attributes
            .iter()
            .any(|pair| pair.key.as_str() == "error.type")
    );
    for (span, version) in [(server, "2026-07-28"), (client, "2025-06-18")] {
        let mut told = span.attributes.iter();
        let told = told.find(|pair| pair.key.as_str() == "mcp.protocol.version");
        assert_eq!(told.unwrap().value.as_str(), version);
    }
}

#[test]
fn a_malformed_parent_starts_a_new_trace_and_no_exporter_means_no_span() {
    let provider = SdkTracerProvider::builder().build();
    let tracer = Tracer::new(provider.tracer("test"));
    let incoming = IncomingTraceContext {
        parent: Some("00-garbage"),
        state: Some("x"),
    };
    let span = tracer.server("ping", "2025-11-25", incoming).unwrap();
    assert_eq!(span.traceparent().len(), OUTSIDE.len());
    assert!(
        Tracer::default()
            .server("ping", "", IncomingTraceContext::default())
            .is_none()
    );
}
