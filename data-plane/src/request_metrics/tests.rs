//! Tests that the set of labels is bounded.

use std::time::Duration;

use toolgate_data_core::{Authn, AuthnId, AuthnKind, Grant, refusal::UpstreamFailure};
use toolgate_mcp::method;
use toolgate_model::{AllowList, CallFilter, ObjectName, Principal, PrincipalSubject, Uid};
use toolgate_runtime::clock::{self, ManualClock};

use super::*;

#[test]
fn unknown_methods_share_one_label() {
    assert_eq!(MethodLabel::of("tools/call").as_str(), "tools/call");
    assert_eq!(MethodLabel::of("x/evil"), MethodLabel::OTHER);
}

#[test]
fn a_successful_call_has_no_error_label() {
    assert_eq!(RequestEnd::of_call(CallOutcome::Done).error, None);
    let failed = RequestEnd::of_call(CallOutcome::Failed(UpstreamFailure::Timeout));
    assert_eq!(failed.error, Some("upstream_timeout"));
    assert_eq!(failed.reason(), "upstream_timeout");
}

#[test]
fn rejections_and_requests_appear_in_the_metrics() {
    let metrics = Metrics::new();
    let request_metrics = RequestMetrics::new(&metrics, &clock::system(), &Arc::default());
    request_metrics
        .open()
        .finish_refused(&Refusal::Unauthenticated);
    request_metrics
        .open()
        .finish_refused(&Refusal::Unauthenticated);
    let gateway = ObjectName::new("acme".parse().unwrap(), "one".parse().unwrap());
    let meter = request_metrics.meters.gateway(&gateway, None);
    let ping = MethodLabel::of(method::PING);
    meter.method(ping, None, "2025-11-25", Duration::from_millis(1));
    let text = metrics.render();
    assert!(text.contains("reason=\"unauthenticated\"} 2"), "{text}");
    assert!(text.contains("mcp_method_name=\"ping\""), "{text}");
}

fn caller() -> Caller {
    let principal = Principal {
        org: "acme".parse().unwrap(),
        subject: PrincipalSubject::AllCallers,
    };
    let grant = Grant::new(&AllowList::All, &AllowList::All);
    let authn = Authn {
        id: AuthnId([1; 32]),
        kind: AuthnKind::ApiToken,
        expires: None,
    };
    Caller::new(Arc::new(principal), Arc::new(grant), authn)
}

#[test]
fn requests_without_a_caller_write_few_records_and_leave_those_of_callers() {
    let log = Arc::<CallLog>::default();
    let clock = ManualClock::new(Timestamp(1_700_000_000_000));
    let metrics = Metrics::new();
    let requests = RequestMetrics::new(&metrics, &(Arc::clone(&clock) as SharedClock), &log);
    let gateway = ObjectName::new("acme".parse().unwrap(), "one".parse().unwrap());
    let open = || {
        let mut measurement = requests.open();
        measurement.meter = Some(requests.meters.gateway(&gateway, None));
        measurement
    };
    let mut authenticated = open();
    authenticated.set_caller(&caller());
    authenticated.answered();
    for _second in 0..2 {
        (0..10_000).for_each(|_| open().finish_refused(&Refusal::Unauthenticated));
        clock.advance(Duration::from_secs(1));
    }
    let mut authenticated = open();
    authenticated.set_caller(&caller());
    authenticated.answered();
    let all = CallFilter::of_gateway(gateway.clone());
    let records = log.past(log.end(&all.gateway.org), &all, Timestamp(0), 100);
    let ends: Vec<_> = records.iter().map(|record| record.result).collect();
    let mut expected = vec![CallEndKind::Refused; 10];
    expected[0] = CallEndKind::Answered;
    expected[9] = CallEndKind::Answered;
    assert_eq!(ends, expected);
    // All of them are counted.
    let text = metrics.render();
    assert!(text.contains("reason=\"unauthenticated\"} 20000"), "{text}");
}

#[test]
fn each_request_of_a_gateway_has_one_record_that_tells_its_end() {
    let log = Arc::<CallLog>::default();
    let metrics = RequestMetrics::new(&Metrics::new(), &clock::system(), &log);
    let gateway = ObjectName::new("acme".parse().unwrap(), "one".parse().unwrap());
    let open = || {
        let mut measurement = metrics.open();
        measurement.meter = Some(metrics.meters.gateway(&gateway, None));
        measurement.set_caller(&caller());
        measurement
    };
    // Of no gateway, and of the proxy that it was forwarded to.
    metrics.open().answered();
    open().finish_forwarded();
    let mut answered = open();
    answered.set_request_bytes(10);
    answered.add_response_bytes(15);
    answered.add_response_bytes(5);
    answered.answered();
    open().finish_call(CallOutcome::InputRequired);
    open().finish_call(CallOutcome::ToolError);
    open().finish_call(CallOutcome::Error);
    open().finish_call(CallOutcome::Failed(UpstreamFailure::Timeout));
    open().finish_refused(&Refusal::UnknownTool("lokup".into()));
    drop(open());
    let lost = open();
    let panicking = std::panic::AssertUnwindSafe(move || {
        let _lost = lost;
        panic!("a fault of ours");
    });
    std::panic::catch_unwind(panicking).unwrap_err();
    let all = CallFilter::of_gateway(gateway.clone());
    let records = log.past(log.end(&all.gateway.org), &all, Timestamp(0), 100);
    let ends: Vec<_> = records
        .iter()
        .map(|record| (record.result, record.reason.as_str(), record.tool.as_str()))
        .collect();
    assert_eq!(
        ends,
        [
            (CallEndKind::Answered, "", ""),
            (CallEndKind::InputRequired, "", ""),
            (CallEndKind::ToolError, "", ""),
            (CallEndKind::RpcError, "", ""),
            (CallEndKind::Failed, "upstream_timeout", ""),
            (CallEndKind::Refused, "unknown_tool", "lokup"),
            (CallEndKind::Cancelled, "", ""),
            (CallEndKind::Failed, "internal", ""),
        ]
    );
    assert_eq!(
        (records[0].request_bytes, records[0].response_bytes),
        (10, 20)
    );
}

#[test]
fn records_of_a_gateway_are_not_those_of_an_earlier_one_of_its_name() {
    let log = Arc::<CallLog>::default();
    let metrics = RequestMetrics::new(&Metrics::new(), &clock::system(), &log);
    let gateway = ObjectName::new("acme".parse().unwrap(), "one".parse().unwrap());
    let (earlier, later) = (Uid::of(&"earlier"), Uid::of(&"later"));
    let answer = |uid| {
        let mut measurement = metrics.open();
        measurement.meter = Some(metrics.meters.gateway(&gateway, Some(uid)));
        measurement.set_caller(&caller());
        measurement.answered();
    };
    // A request of the earlier view may still be answered after one of the later view.
    for uid in [earlier, later, earlier, later, later] {
        answer(uid);
    }
    let sequences = |gateway_uid| {
        let filter = CallFilter {
            gateway_uid,
            ..CallFilter::of_gateway(gateway.clone())
        };
        let records = log.past(log.end(&filter.gateway.org), &filter, Timestamp(0), 100);
        records.iter().map(|it| it.sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences(Some(earlier)), [0, 2]);
    assert_eq!(sequences(Some(later)), [1, 3, 4]);
    assert_eq!(sequences(None).len(), 5, "a query of an earlier build");
}

/// Names that a server or an operator chooses.
const MANY: usize = 100_000;

/// Series of a metric in a scrape: the sets of labels of its count.
fn series<'a>(scrape: &'a str, metric: &str) -> Vec<&'a str> {
    let prefix = format!("{metric}_count{{");
    let lines = scrape.lines();
    lines.filter(|line| line.starts_with(&prefix)).collect()
}

#[test]
fn se_07_the_tools_of_one_gateway_use_up_no_series_of_another() {
    let metrics = Metrics::new();
    let requests = RequestMetrics::new(&metrics, &clock::system(), &Arc::default());
    let gateway = |id: &str| {
        let name = ObjectName::new("acme".parse().unwrap(), id.parse().unwrap());
        requests.meters.gateway(&name, None)
    };
    let record = |gateway: &GatewayMeter, tool: &str| {
        let versions = ProtocolVersions {
            client: "2026-07-28",
            server: "2025-11-25",
        };
        let meter = gateway.tool(tool, method::TOOLS_CALL, &"shop".parse().unwrap());
        let took = Duration::from_millis(2);
        meter.record(None, versions, took, took);
        assert_eq!(meter.subject().tool.as_deref(), Some(tool), "for the log");
    };
    let crowded = gateway("crowded");
    for number in 0..MANY {
        record(&crowded, &format!("tool-{number}"));
    }
    record(&gateway("other"), "greet");
    let scrape = metrics.render();
    for metric in [
        "mcp_server_operation_duration_seconds",
        "mcp_client_operation_duration_seconds",
    ] {
        let series = series(&scrape, metric);
        assert!(series.len() <= 510, "{metric}: {}", series.len());
        let of = |name: &str| series.iter().filter(|line| line.contains(name)).count();
        assert_eq!(of("gen_ai_tool_name=\"greet\""), 1, "{metric}");
        assert_eq!(of("gen_ai_tool_name=\"tool-7\""), 1, "{metric}");
        let shared = series
            .iter()
            .find(|line| line.contains("tool_name=\"_OTHER\""));
        assert!(shared.unwrap().ends_with("} 99500"), "{shared:?}");
    }
    assert!(scrape.len() < 6 << 20, "{} bytes", scrape.len());
}

#[test]
fn se_07_unknown_methods_create_no_series() {
    let metrics = Metrics::new();
    let requests = RequestMetrics::new(&metrics, &clock::system(), &Arc::default());
    let name = ObjectName::new("acme".parse().unwrap(), "one".parse().unwrap());
    let gateway = requests.meters.gateway(&name, None);
    for number in 0..MANY {
        let label = MethodLabel::of(&format!("x/{number}"));
        gateway.method(label, None, "2026-07-28", Duration::from_millis(1));
        requests.meters.overhead(label, Duration::from_millis(1));
    }
    let scrape = metrics.render();
    for metric in [
        "mcp_server_operation_duration_seconds",
        "toolgate_overhead_duration_seconds",
    ] {
        assert_eq!(series(&scrape, metric).len(), 1, "{metric}");
    }
}
