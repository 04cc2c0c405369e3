//! Tests that the set of labels is bounded.

use std::time::Duration;

use toolgate_data_core::refusal::UpstreamFailure;
use toolgate_mcp::method;
use toolgate_runtime::clock;

use super::*;

#[test]
fn methods_of_a_clients_invention_share_one_label() {
    assert_eq!(Method::of("tools/call").as_str(), "tools/call");
    assert_eq!(Method::of("x/evil"), Method::OTHER);
}

#[test]
fn a_call_that_went_well_has_no_error_label() {
    assert_eq!(class::error_of(Outcome::Done), None);
    let failed = Outcome::Failed(UpstreamFailure::Timeout);
    assert_eq!(class::error_of(failed), Some("upstream_timeout"));
}

#[test]
fn refusals_and_requests_are_seen_by_whoever_scrapes() {
    let metrics = Metrics::new();
    let accounts = Accounts::new(metrics.clone(), clock::system());
    accounts.open().refused(&Refusal::Unauthenticated);
    accounts.open().refused(&Refusal::Unauthenticated);
    let meter = accounts.meters.gateway(&"one".parse().unwrap());
    let ping = Method::of(method::PING);
    meter.method(ping, None, "2025-11-25", Duration::from_millis(1));
    let text = metrics.render();
    assert!(text.contains("reason=\"unauthenticated\"} 2"), "{text}");
    assert!(text.contains("mcp_method_name=\"ping\""), "{text}");
}
