//! Tests that the set of labels is bounded.

use std::time::Duration;

use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_mcp::method;
use toolgate_runtime::clock;

use super::*;

#[test]
fn unknown_methods_share_one_label() {
    assert_eq!(MethodLabel::of("tools/call").as_str(), "tools/call");
    assert_eq!(MethodLabel::of("x/evil"), MethodLabel::OTHER);
}

#[test]
fn a_successful_call_has_no_error_label() {
    assert_eq!(labels::error_label(CallOutcome::Done), None);
    let failed = CallOutcome::Failed(UpstreamFailure::Timeout);
    assert_eq!(labels::error_label(failed), Some("upstream_timeout"));
}

#[test]
fn rejections_and_requests_appear_in_the_metrics() {
    let metrics = Metrics::new();
    let request_metrics = RequestMetrics::new(metrics.clone(), clock::system());
    request_metrics
        .open()
        .finish_refused(&Refusal::Unauthenticated);
    request_metrics
        .open()
        .finish_refused(&Refusal::Unauthenticated);
    let meter = request_metrics.meters.gateway(&"one".parse().unwrap());
    let ping = MethodLabel::of(method::PING);
    meter.method(ping, None, "2025-11-25", Duration::from_millis(1));
    let text = metrics.render();
    assert!(text.contains("reason=\"unauthenticated\"} 2"), "{text}");
    assert!(text.contains("mcp_method_name=\"ping\""), "{text}");
}
