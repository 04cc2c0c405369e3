//! Tests of the session-based rules.

use serde_json::{Value, json};
use toolgate_mcp::{RequestEra, headers::StandardHeaders};
use toolgate_model::{SnapshotResource, SnapshotResourceKind};

use crate::{
    Plan, PlanInput, Refusal,
    fixture::{
        GatewayFixture, NOW, ServerFixture, gateway, insert, key, parse, plain_tool, test_servers,
        test_snapshot,
    },
    plan::{ClientProtocol, EndpointRequest, SessionLookup, plan},
    session::{LogLevel, session_id::ClientCapabilities},
    view::PAGE_SIZE,
};

fn body(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

fn answer(plan: Plan) -> Value {
    let Plan::Respond(parts) = plan else {
        panic!("{plan:?}");
    };
    serde_json::from_slice(&parts.to_bytes()).unwrap()
}

fn refused(plan: Plan) -> Refusal {
    let Plan::Refuse(refusal) = plan else {
        panic!("{plan:?}");
    };
    refusal
}

#[test]
fn initialize_negotiates_only_legacy_versions() {
    let world = GatewayFixture::new();
    for (asked, given) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2031-01-01", "2025-11-25"),
    ] {
        let params = format!(
            r#""protocolVersion":"{asked}","capabilities":{{"roots":{{}}}},"clientInfo":{{"name":"x","version":"1"}}"#
        );
        let text = body("initialize", &params);
        let planned = world.post(
            "all",
            &parse(&text),
            StandardHeaders::default(),
            &[],
            SessionLookup::Absent,
        );
        let Plan::Initialize(initialize) = planned else {
            panic!("{planned:?}");
        };
        assert_eq!(initialize.version, given);
        assert_eq!(initialize.capabilities, ClientCapabilities::ROOTS);
        let answer: Value = serde_json::from_slice(&initialize.answer.to_bytes()).unwrap();
        assert_eq!(answer["result"]["protocolVersion"], given);
    }
    let text = body("initialize", "");
    let planned = world.post(
        "all",
        &parse(&text),
        StandardHeaders::default(),
        &[],
        SessionLookup::Absent,
    );
    assert_eq!(refused(planned).rpc().code, -32602);
}

#[test]
fn every_other_method_needs_a_session() {
    let world = GatewayFixture::new();
    for text in [
        body("tools/list", ""),
        body("ping", ""),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
    ] {
        let ask = |session| {
            refused(world.post(
                "all",
                &parse(&text),
                StandardHeaders::default(),
                &[],
                session,
            ))
        };
        assert_eq!(ask(SessionLookup::Absent).status(), 400);
        assert_eq!(ask(SessionLookup::Unknown).status(), 404);
    }
}

#[test]
fn the_methods_of_a_session_are_served() {
    let world = GatewayFixture::new();
    assert_eq!(
        answer(world.legacy("all", &body("ping", ""))),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}})
    );
    let list = answer(world.legacy("few", &body("tools/list", "")));
    assert_eq!(list["result"]["tools"][0]["name"], "weather__forecast");
    assert!(matches!(
        world.legacy("all", &body("logging/setLevel", r#""level":"warning""#)),
        Plan::SetLevel(LogLevel::Warning, _)
    ));
    let bad = refused(world.legacy("all", &body("logging/setLevel", r#""level":"loud""#)));
    assert_eq!(bad.rpc().code, -32602);
    let unknown = refused(world.legacy("all", &body("server/discover", "")));
    assert_eq!((unknown.status(), unknown.rpc().code), (200, -32601));
    // Headers of the modern era are ignored.
    let call = world.legacy(
        "all",
        &body(
            "tools/call",
            r#""name":"weather__forecast","arguments":{"city":"Oslo"}"#,
        ),
    );
    let Plan::Call(call) = call else {
        panic!("{call:?}");
    };
    assert!(matches!(
        call.client,
        ClientProtocol::Legacy {
            version: "2025-11-25",
            ..
        }
    ));
    assert_eq!(call.effective_log_level(None), Some(LogLevel::Info));
    assert_eq!(
        call.effective_log_level(Some(LogLevel::Error)),
        Some(LogLevel::Error)
    );
    let denied = refused(world.legacy("few", &body("tools/call", r#""name":"files__read""#)));
    assert_eq!(denied, Refusal::UnknownTool("files__read".to_owned()));
    for params in ["", r#""name":3"#, r#""name":"files__read","arguments":[]"#] {
        let refusal = refused(world.legacy("all", &body("tools/call", params)));
        assert_eq!(refusal.rpc().code, -32602, "{params}");
    }
}

#[test]
fn each_notification_has_its_effect() {
    let world = GatewayFixture::new();
    let notice = |method: &str, params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#);
        world.legacy("all", &text)
    };
    assert!(matches!(
        notice("notifications/initialized", ""),
        Plan::Initialized
    ));
    assert!(matches!(
        notice("notifications/roots/list_changed", ""),
        Plan::Accept
    ));
    assert!(matches!(
        notice("notifications/cancelled", ""),
        Plan::Accept
    ));
    let Plan::Cancel(id) = notice("notifications/cancelled", r#""requestId":"5""#) else {
        panic!("not cancelled");
    };
    assert_eq!(&*id, "\"5\"");
    assert_eq!(refused(notice("tools/list", "")).status(), 400);
    let response = world.legacy("all", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert!(matches!(response, Plan::DeliverResponse(id) if &*id == "1"));
}

#[test]
fn get_and_delete_need_a_known_session() {
    let world = GatewayFixture::new();
    let legacy = RequestEra::Legacy { version: None };
    let ask = |request, session| {
        plan(&PlanInput {
            gateway: world.gateway(),
            caller: &world.caller("all"),
            request,
            trace: None,
            session,
            cipher: &world.cipher,
            now: NOW,
        })
    };
    let (get, delete) = (
        EndpointRequest::Get { era: &legacy },
        EndpointRequest::Delete { era: &legacy },
    );
    let open = SessionLookup::Valid(&world.session);
    assert!(matches!(ask(get, open), Plan::OpenStream));
    assert!(matches!(ask(delete, open), Plan::CloseSession));
    assert_eq!(refused(ask(get, SessionLookup::Absent)).status(), 400);
    assert_eq!(refused(ask(delete, SessionLookup::Unknown)).status(), 404);
    let bad = RequestEra::BadVersion {
        requested: "x".to_owned(),
    };
    assert_eq!(
        refused(ask(EndpointRequest::Get { era: &bad }, open)).status(),
        400
    );
}

#[test]
fn pages_are_bound_to_one_principal_and_one_list_state() {
    let tools: Vec<_> = (0..2 * PAGE_SIZE + 1)
        .map(|n| plain_tool(&format!("t{n}")))
        .collect();
    let snapshot = test_snapshot(&[ServerFixture::new("s", None, tools.clone())]);
    let world_now = GatewayFixture::of(&snapshot);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    let mut first_cursor = String::new();
    for _ in 0..3 {
        let page = answer(world_now.legacy("all", &body("tools/list", &cursor)));
        let tools = page["result"]["tools"].as_array().unwrap().iter();
        seen.extend(tools.map(|tool| tool["name"].as_str().unwrap().to_owned()));
        let next = page["result"]["nextCursor"].as_str();
        cursor = next.map_or_else(String::new, |next| format!(r#""cursor":"{next}""#));
        if first_cursor.is_empty() {
            first_cursor.clone_from(&cursor);
        }
    }
    assert_eq!(cursor, "");
    let all: Vec<String> = tools
        .iter()
        .map(|tool| format!("s__{}", tool.name))
        .collect();
    assert_eq!(seen, all);
    let again = answer(world_now.legacy("all", &body("tools/list", &first_cursor)));
    assert_eq!(again["result"]["tools"][0]["name"], "s__t500");
    // Another grant, a changed list, and malformed cursors.
    for (world, token, cursor) in [
        (&world_now, "few", first_cursor.as_str()),
        (
            &GatewayFixture::of(&test_snapshot(&[ServerFixture::new(
                "s",
                None,
                tools[1..].to_vec(),
            )])),
            "all",
            &first_cursor,
        ),
        (&world_now, "all", r#""cursor":"""#),
        (&world_now, "all", r#""cursor":"AAAA""#),
        (&world_now, "all", r#""cursor":7"#),
    ] {
        let refusal = refused(world.legacy(token, &body("tools/list", cursor)));
        assert_eq!(
            (refusal.status(), refusal.rpc().code),
            (200, -32602),
            "{cursor}"
        );
    }
}

#[test]
fn a_gateway_with_unknown_or_unreadable_configuration_rejects_every_request() {
    for (field, refusal) in [
        ("geofence", Refusal::GatewayDenied),
        ("unreadable_record", Refusal::GatewayUnreadable),
    ] {
        rejects_every_request(field, &refusal);
    }
}

/// Checks that a gateway that requires this feature rejects every request alike.
fn rejects_every_request(field: &str, refusal: &Refusal) {
    let mut snapshot = test_snapshot(&test_servers());
    let mut denied = gateway(&test_servers());
    denied.must_understand.push(field.to_owned());
    snapshot
        .entries
        .remove(&key(SnapshotResourceKind::Gateway, "acme", "main"));
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(denied),
    );
    let (view, _) = crate::View::build(&snapshot, None);
    let world = GatewayFixture {
        view,
        ..GatewayFixture::new()
    };
    for text in [
        body("ping", ""),
        body("tools/list", ""),
        body("initialize", ""),
    ] {
        assert_eq!(refused(world.legacy("all", &text)), *refusal);
    }
}
