//! Tests of reports against a control plane with another clock.

use std::time::Duration;

use toolgate_model::{HealthState, ObjectName, ServerHealth, Timestamp};
use toolgate_proto::push::v1 as pb;

use super::ReportedState;

use crate::{
    ControlPlaneTransport,
    fixture::{FakeControlPlane, machine, options, small, until},
    start,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Runs a proxy whose control plane's clock is `ahead` milliseconds ahead, and returns the warnings about its clock.
async fn warnings(ahead: i64) -> Vec<String> {
    let control = FakeControlPlane::new(small(5));
    control.set_clock_ahead(ahead);
    let (machine, _trigger) = machine();
    let transport = ControlPlaneTransport::Memory(control.dialer());
    let _handle = start(options(transport), &machine).unwrap();
    machine.readiness.ready().await;
    until(|| {
        control
            .reports()
            .iter()
            .any(|it| it.round_trip_ms.is_some())
    })
    .await;
    let warnings = machine.readiness.warnings().into_iter();
    let warnings = warnings.filter(|warning| warning.subject == "clock");
    let warnings: Vec<_> = warnings.map(|warning| warning.text).collect();
    let sent = control.reports()[0].sent_time_ms;
    let now = machine.clock.now();
    assert!(now.since(Timestamp(sent)) < Duration::from_secs(60));
    let metric = machine.metrics.render();
    assert!(metric.contains("toolgate_clock_offset"), "{metric}");
    warnings
}

#[tokio::test]
async fn a_proxy_learns_that_its_clock_is_off_from_the_answer_to_its_report() {
    for (ahead, direction) in [
        (3 * MINUTE, "180 s behind"),
        (-3 * MINUTE, "180 s ahead of"),
        (3 * DAY, "behind"),
        (-3 * DAY, "ahead of"),
    ] {
        let warnings = warnings(ahead).await;
        let [warning] = &warnings[..] else {
            panic!("{ahead}: {warnings:?}");
        };
        assert!(warning.contains(direction), "{ahead}: {warning}");
        assert!(warning.contains("time synchronisation"), "{warning}");
        assert_eq!(warning.matches("Z").count(), 2, "both times: {warning}");
    }
}

#[tokio::test]
async fn a_clock_that_agrees_is_no_warning() {
    assert_eq!(warnings(0).await, Vec::<String>::new());
    assert_eq!(warnings(10_000).await, Vec::<String>::new());
}

fn health(id: &str, state: HealthState, outages: u32) -> ServerHealth {
    ServerHealth {
        server: ObjectName::new("acme".parse().unwrap(), id.parse().unwrap()),
        state,
        failing_since: Timestamp(1_000),
        recovered: (state == HealthState::Available).then_some(Timestamp(2_000)),
        failure: "upstream_timeout".to_owned(),
        detail: String::new(),
        outages,
        endpoints: Vec::new(),
    }
}

#[tokio::test]
async fn changes_of_health_are_reported_together_and_at_most_once_a_second() {
    let control = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let transport = ControlPlaneTransport::Memory(control.dialer());
    let handle = start(options(transport), &machine).unwrap();
    until(|| !control.reports().is_empty()).await;
    let began = machine.clock.monotonic();
    let mut outages = 0;
    while machine.clock.monotonic() - began < Duration::from_secs(3) {
        outages += 1;
        handle.report_health(vec![health("git", HealthState::Unavailable, outages)]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last = || {
        let reports = control.reports();
        let servers = reports.iter().flat_map(|report| report.servers.clone());
        servers.last().map(|it| it.outages)
    };
    until(|| last() == Some(outages)).await;
    let passed = (machine.clock.monotonic() - began).as_secs();
    let reports = control.reports();
    let named = reports.iter().filter(|it| !it.servers.is_empty()).count();
    assert!(outages > 20, "{outages}");
    assert!(
        named as u64 <= passed + 2,
        "{named} reports of {outages} changes"
    );
    assert!(reports[0].replaces_servers && !reports[1].replaces_servers);
    // A server that is configured in another way is not known any more, and counts as available.
    handle.report_health(Vec::new());
    let available = pb::HealthState::Available;
    until(|| {
        let reports = control.reports();
        let last = reports.last().and_then(|it| it.servers.first());
        last.is_some_and(|it| it.state == i32::from(available))
    })
    .await;
}

#[test]
fn a_report_has_a_limit_and_the_rest_follows() {
    let mut reported = ReportedState::default();
    let many: Vec<_> = (0..250)
        .map(|number| health(&format!("s{number:03}"), HealthState::Unavailable, 1))
        .collect();
    let now = Timestamp(3_000);
    for expected in [100, 100, 50, 0] {
        let changes = reported.changes(&many, now);
        assert_eq!(changes.len(), expected);
        reported.accept(changes);
    }
    assert!(!reported.is_behind(&many));
}

#[test]
fn an_endpoint_that_no_longer_fails_is_reported_though_its_server_never_failed() {
    let endpoint = toolgate_model::Endpoint {
        url: "https://a.example/".parse().unwrap(),
        region: None,
    };
    let mut git = ServerHealth::available(
        health("git", HealthState::Available, 0).server,
        Timestamp(1),
    );
    git.endpoints.push(toolgate_model::EndpointFailure {
        endpoint,
        failing_since: Timestamp(1),
        failure: "upstream_unreachable".to_owned(),
        detail: String::new(),
    });
    let mut reported = ReportedState::default();
    reported.accept(vec![git.clone()]);
    let told = reported.changes(&[], Timestamp(9));
    let [gone] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (gone.state, gone.endpoints.len()),
        (HealthState::Available, 0)
    );
    assert!(gone.is_past(Timestamp(9)), "nothing is kept of it");
    reported.accept(told);
    assert_eq!(reported.changes(&[], Timestamp(10)), []);
}
