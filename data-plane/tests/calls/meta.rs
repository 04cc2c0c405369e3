//! `_meta` in every era pair: members of one hop are replaced, all others are forwarded both ways, and so is the trace
//! context. Baggage is dropped, since it may carry data that no server is trusted with.

use std::sync::OnceLock;

use serde_json::{Value, json};
use toolgate_model::Era;
use toolgate_runtime::telemetry::{self, Telemetry, TelemetryOptions};

use crate::{
    client::TestClient,
    rig::{TestRig, exposed},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// Trace context of `_meta` and a different one of the headers.
const META_TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const HEADER_TRACE: &str = "00-11111111111111111111111111111111-2222222222222222-01";

/// All era pairs: client era, client, server era.
async fn era_pairs(rig: &TestRig) -> Vec<(Era, TestClient, Era)> {
    let mut cells = Vec::new();
    for era in ERAS {
        let mut client = rig.client();
        if era == Era::Legacy {
            client.initialize().await;
        }
        cells.extend(ERAS.map(|server| (era, client.clone(), server)));
    }
    cells
}

/// Calls with this `_meta`; returns headers and body that the server got, and the result.
async fn call_with_meta(
    rig: &TestRig,
    (era, client, server): &(Era, TestClient, Era),
    meta: Value,
) -> (http::HeaderMap, Value, Value) {
    let mut params = json!({"name": exposed(*server, "marked"), "arguments": {}});
    if !meta.is_null() {
        params["_meta"] = meta;
    }
    let message = json!({"jsonrpc": "2.0", "id": "m", "method": "tools/call", "params": params});
    let answer = client.ask(*era, message).await.whole().await.json();
    let (headers, sent) = rig.server(*server).last("tools/call").unwrap();
    let sent = sent["params"]["_meta"].clone();
    (headers, sent, answer["result"]["_meta"].clone())
}

#[tokio::test]
async fn unknown_meta_members_are_forwarded_both_ways_in_every_era_pair() {
    let rig = TestRig::start().await;
    let theirs = json!({"vendor.example/x": {"deep": [1.5, null, "\u{fffd}"]}, "bare": true,
        "progressToken": "mine"});
    for cell in era_pairs(&rig).await {
        let (_, sent, back) = call_with_meta(&rig, &cell, theirs.clone()).await;
        let (client, server) = (cell.0, cell.2);
        for key in ["vendor.example/x", "bare"] {
            assert_eq!(sent[key], theirs[key], "{client:?} {server:?}: {sent}");
        }
        assert_ne!(sent["progressToken"], "mine");
        let prefix = "io.modelcontextprotocol/";
        let own = sent.as_object().unwrap().keys();
        let own: Vec<_> = own.filter_map(|key| key.strip_prefix(prefix)).collect();
        // Legacy servers get none of these members. Clients with a session get log messages without a request.
        let expected: &[&str] = match (server, client) {
            (Era::Legacy, _) => &[],
            (Era::Modern, Era::Modern) => &["clientCapabilities", "clientInfo", "protocolVersion"],
            (Era::Modern, Era::Legacy) => &[
                "clientCapabilities",
                "clientInfo",
                "logLevel",
                "protocolVersion",
            ],
        };
        assert_eq!(own, expected, "{client:?} {server:?}");
        assert_eq!(back["vendor.example/y"], json!({"deep": [2.5, {}]}));
        assert_eq!(back["plain"], "yes");
        let server_info = &back["io.modelcontextprotocol/serverInfo"];
        assert_ne!(server_info["name"], "fake", "who answers is the gateway");
        assert!(back.get("progressToken").is_none(), "{back}");
    }
}

#[tokio::test]
async fn trace_context_is_forwarded_in_every_era_pair_and_baggage_is_not() {
    let rig = TestRig::start().await;
    for mut cell in era_pairs(&rig).await {
        let at = format!("{:?} {:?}", cell.0, cell.2);
        cell.1.extra_headers = vec![
            ("traceparent", HEADER_TRACE),
            ("tracestate", "other=1"),
            ("baggage", "user=ada"),
        ];
        let meta = json!({"traceparent": META_TRACE, "tracestate": "t=1", "baggage": "user=ada"});
        let (headers, sent, _) = call_with_meta(&rig, &cell, meta).await;
        assert_eq!(sent["traceparent"], META_TRACE, "{at}");
        assert_eq!(sent["tracestate"], "t=1", "{at}");
        assert_eq!(
            headers["traceparent"], META_TRACE,
            "{at}: `_meta` comes first"
        );
        assert_eq!(headers["tracestate"], "t=1", "{at}");
        assert!(sent.get("baggage").is_none(), "{at}: {sent}");
        let all = format!("{headers:?}");
        assert!(
            !all.contains("ada") && !all.contains("other=1"),
            "{at}: {all}"
        );
    }
}

/// `_meta` values without a valid trace context.
fn absent_traces() -> [Value; 3] {
    let invalid = json!({"traceparent": "00-a-b-01", "tracestate": "t=1"});
    [Value::Null, json!({}), invalid]
}

#[tokio::test]
async fn trace_context_from_headers_is_forwarded_in_every_era_pair() {
    let rig = TestRig::start().await;
    for mut cell in era_pairs(&rig).await {
        cell.1.extra_headers = vec![("traceparent", HEADER_TRACE), ("tracestate", "other=1")];
        for meta in absent_traces() {
            let at = format!("{:?} {:?} {meta}", cell.0, cell.2);
            let (headers, sent, _) = call_with_meta(&rig, &cell, meta).await;
            assert_eq!(sent["traceparent"], HEADER_TRACE, "{at}");
            assert_eq!(sent["tracestate"], "other=1", "{at}");
            assert_eq!(headers["traceparent"], HEADER_TRACE, "{at}");
            assert_eq!(headers["tracestate"], "other=1", "{at}");
        }
    }
}

#[tokio::test]
async fn invalid_trace_context_is_dropped() {
    let (off, on) = (
        TestRig::start().await,
        TestRig::with_metrics(telemetry().metrics()).await,
    );
    let shouted = HEADER_TRACE.replace('1', "A").leak();
    for (rig, traces) in [(&off, false), (&on, true)] {
        for mut cell in era_pairs(rig).await {
            cell.1.extra_headers = vec![("traceparent", shouted), ("tracestate", "other=1")];
            for meta in absent_traces() {
                let at = format!("{:?} {:?} {traces} {meta}", cell.0, cell.2);
                let (headers, sent, _) = call_with_meta(rig, &cell, meta).await;
                let told = sent.get("traceparent");
                assert_eq!(told.is_some(), traces, "{at}: {sent}");
                assert_eq!(headers.contains_key("traceparent"), traces, "{at}");
                assert!(!told.is_some_and(|told| *told == *shouted), "{at}: {sent}");
                assert_eq!(sent.get("tracestate"), None, "{at}: {sent}");
                assert!(!headers.contains_key("tracestate"), "{at}");
            }
        }
    }
}

/// Telemetry of the process, created once. Spans are exported to an address without a listener.
fn telemetry() -> &'static Telemetry {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    TELEMETRY.get_or_init(|| {
        let options = TelemetryOptions {
            filter: "off".to_owned(),
            otlp_endpoint: Some("http://127.0.0.1:9".to_owned()),
            ..TelemetryOptions::default()
        };
        telemetry::init(&options).unwrap()
    })
}

#[tokio::test]
async fn servers_get_the_gateway_span_in_the_callers_trace_in_every_era_pair() {
    let rig = TestRig::with_metrics(telemetry().metrics()).await;
    for mut cell in era_pairs(&rig).await {
        let at = format!("{:?} {:?}", cell.0, cell.2);
        cell.1.extra_headers = vec![
            ("traceparent", HEADER_TRACE),
            ("tracestate", "other=1"),
            ("baggage", "user=ada"),
        ];
        let meta = json!({"traceparent": META_TRACE, "tracestate": "t=1", "baggage": "user=ada"});
        let of_headers = absent_traces().map(|meta| (meta, HEADER_TRACE, "other=1"));
        for (meta, theirs, state) in [(meta, META_TRACE, "t=1")].into_iter().chain(of_headers) {
            let (headers, sent, _) = call_with_meta(&rig, &cell, meta).await;
            let ours = sent["traceparent"].as_str().unwrap();
            assert_eq!(headers["traceparent"], ours, "{at}");
            assert_eq!(sent["tracestate"], state, "{at}");
            assert_eq!(headers["tracestate"], state, "{at}");
            let parts = |text: &str| text.split('-').map(str::to_owned).collect::<Vec<_>>();
            let (ours, theirs) = (parts(ours), parts(theirs));
            assert_eq!(ours[1], theirs[1], "{at}: the same trace");
            assert_ne!(ours[2], theirs[2], "{at}: a span of our own");
            assert!(sent.get("baggage").is_none(), "{at}: {sent}");
            assert!(!headers.contains_key("baggage"), "{at}");
        }
    }
}
