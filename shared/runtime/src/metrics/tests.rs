//! Tests of the metrics.

use toolgate_model::Timestamp;

use super::*;
use crate::clock::ManualClock;

#[test]
fn names_and_attributes_follow_the_conventions() {
    let metrics = Metrics::new();
    let call = OperationLabels {
        method: "tools/call",
        tool: Some("files__read"),
        version: "2026-07-28",
        ..OperationLabels::default()
    };
    metrics
        .server_operation(&call)
        .record(Duration::from_millis(15));
    let failed = OperationLabels {
        error: Some("tool_error"),
        ..call
    };
    metrics
        .client_operation(&failed)
        .record(Duration::from_millis(15));
    let shown = metrics.render();
    let expected = [
        "mcp_server_operation_duration_seconds_bucket",
        "mcp_client_operation_duration_seconds_count",
        "gen_ai_tool_name=\"files__read\"",
        "error_type=\"tool_error\"",
        "le=\"0.02\"",
    ];
    for expected in expected {
        assert!(
            shown.contains(expected),
            "{expected} is missing from\n{shown}"
        );
    }
}

#[test]
fn one_handle_counts_from_many_threads() {
    let metrics = Metrics::new();
    let first = metrics.refusals("rate");
    metrics.refusals("rate").increment();
    first.add(2);
    assert!(
        metrics
            .render()
            .contains("toolgate_refusals_total{reason=\"rate\"} 3")
    );
}

#[test]
fn the_age_of_a_snapshot_grows_until_it_is_confirmed() {
    let clock = ManualClock::new(Timestamp(1_000_000));
    let metrics = Metrics::new();
    let snapshot = metrics.snapshot(clock.clone());
    snapshot.held(Version {
        epoch: 1,
        revision: 7,
    });
    snapshot.mark_confirmed();
    clock.advance(Duration::from_secs(90));
    let shown = metrics.render();
    assert!(
        shown.contains("toolgate_snapshot_age_seconds 90"),
        "{shown}"
    );
    assert!(shown.contains("toolgate_snapshot_revision 7"), "{shown}");
}
