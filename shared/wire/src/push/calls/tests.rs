//! Tests of the conversion of records and queries.

use super::*;

fn gateway() -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), "tools".parse().unwrap())
}

fn record(result: CallEndKind) -> CallRecord {
    CallRecord {
        gateway: gateway(),
        sequence: 7,
        received: Timestamp(1_700_000_000_123),
        duration: Duration::from_micros(1_234),
        principal: "user:ada".into(),
        token: "ci".into(),
        client: "agent".into(),
        version: "2025-11-25".into(),
        method: "tools/call".into(),
        tool: "git__search".into(),
        server: "git".into(),
        result,
        reason: "upstream_timeout".into(),
        request_bytes: 10,
        response_bytes: 20,
    }
}

#[test]
fn records_keep_their_fields() {
    for result in [
        CallEndKind::Answered,
        CallEndKind::InputRequired,
        CallEndKind::ToolError,
        CallEndKind::RpcError,
        CallEndKind::Failed,
        CallEndKind::Refused,
        CallEndKind::Cancelled,
    ] {
        let given = record(result);
        let proto = call_record_to_proto(given.clone());
        assert_eq!(call_record(&proto, &gateway()), Ok(given));
    }
}

#[test]
fn a_record_with_control_characters_or_long_texts_is_rejected() {
    let mut proto = call_record_to_proto(record(CallEndKind::Answered));
    proto.tool = "a\u{1b}[2J".into();
    assert!(call_record(&proto, &gateway()).is_err());
    proto.tool = "x".repeat(limits::TOOL_NAME + 1);
    assert!(call_record(&proto, &gateway()).is_err());
}

#[test]
fn queries_keep_their_fields_and_unknown_ones_are_left_out() {
    let query = CallQuery {
        id: 3,
        filter: CallFilter {
            gateway_uid: Some(Uid::of(&"tools")),
            server: Some("git".parse().unwrap()),
            tool: Some("git__search".into()),
            principal: Some("user:ada".into()),
            token: Some("ci".parse().unwrap()),
            failed: true,
            ..CallFilter::of_gateway(gateway())
        },
        since: Some(Duration::from_secs(300)),
        tail: 10,
    };
    let all = CallQuery {
        id: 4,
        filter: CallFilter::of_gateway(gateway()),
        since: None,
        tail: 0,
    };
    let queries = vec![query, all];
    let mut proto = call_queries_to_proto(&queries);
    assert_eq!(call_queries(&proto), queries);
    let uid = std::mem::replace(&mut proto.queries[0].gateway_uid, "not a uid".into());
    assert_eq!(call_queries(&proto), queries[1..]);
    proto.queries[0].gateway_uid = uid;
    proto.queries[0].gateway = "Not an id".into();
    assert_eq!(call_queries(&proto), queries[1..]);
}
