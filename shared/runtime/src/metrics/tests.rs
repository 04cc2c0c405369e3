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

#[test]
fn se_07_a_metric_has_a_fixed_number_of_series_for_any_number_of_names() {
    let metrics = Metrics::new();
    for number in 0..100_000 {
        let name = format!("name-{number}");
        let named = OperationLabels {
            method: &name,
            tool: Some(&name),
            error: Some(&name),
            version: &name,
            gateway: &name,
            server: &name,
        };
        let took = Duration::from_millis(3);
        metrics.server_operation(&named).record(took);
        metrics.client_operation(&named).record(took);
        metrics.overhead(&name).record(took);
        let labels = [("name", &*name)];
        metrics
            .counter("toolgate.names", "Names", &labels)
            .increment();
    }
    let scrape = metrics.render();
    for counted in [
        "mcp_server_operation_duration_seconds_count",
        "mcp_client_operation_duration_seconds_count",
        "toolgate_overhead_duration_seconds_count",
        "toolgate_names_total",
    ] {
        let prefix = format!("{counted}{{");
        let series = scrape.lines().filter(|line| line.starts_with(&prefix));
        let values = series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        let values: Vec<u64> = values.collect();
        assert_eq!(values.len(), SERIES + 1, "{counted}");
        assert_eq!(values.iter().sum::<u64>(), 100_000, "none is lost");
    }
    assert!(scrape.len() < 32 << 20, "{} bytes", scrape.len());
}
