//! Tests of the stateless rules.

use serde_json::{Value, json};
use toolgate_mcp::{
    RequestEra,
    headers::{ReceivedHeader, StandardHeaders},
};

use crate::{
    Plan, PlanInput, Refusal,
    fixture::{GatewayFixture, META, NOW, parse},
    plan::{ClientProtocol, EndpointRequest, SessionLookup, plan},
    session::{LogLevel, session_id::ClientCapabilities},
};

fn body(method: &str, members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r#"{{"jsonrpc":"2.0","id":"a\u0031","method":"{method}","params":{{{members}{comma}"_meta":{{{META}}}}}}}"#
    )
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
fn discover_and_lists_are_answered_from_the_view() {
    let world = GatewayFixture::new();
    let discovered = answer(world.modern("all", &body("server/discover", ""), &[]));
    assert_eq!(discovered["id"], "a1");
    assert_eq!(
        discovered["result"]["capabilities"]["tools"],
        json!({"listChanged": true})
    );
    let Plan::Respond(parts) = world.modern("all", &body("tools/list", ""), &[]) else {
        panic!("not answered");
    };
    let text = String::from_utf8(parts.to_bytes().to_vec()).unwrap();
    // The id is copied byte for byte.
    assert!(
        text.starts_with(r#"{"jsonrpc":"2.0","id":"a\u0031","result":{"#),
        "{text}"
    );
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["result"]["tools"].as_array().unwrap().len(), 4);
    let few = answer(world.modern("few", &body("tools/list", ""), &[]));
    assert_eq!(few["result"]["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn a_hidden_tool_is_answered_like_an_unknown_one() {
    let world = GatewayFixture::new();
    let call = |token: &str, name: &str| {
        world.modern(
            token,
            &body("tools/call", &format!(r#""name":"{name}""#)),
            &[],
        )
    };
    assert!(matches!(call("few", "weather__forecast"), Plan::Call(_)));
    for name in [
        "files__read",
        "nothing",
        "weather__Forecast",
        "forecast",
        "weather__forecast ",
        "weather__forec\u{430}st",
        "weather\u{ff3f}\u{ff3f}forecast",
        "",
    ] {
        let refusal = refused(call("few", name));
        assert_eq!(refusal, Refusal::UnknownTool(name.to_owned()));
        assert_eq!((refusal.status(), refusal.rpc().code), (200, -32602));
    }
}

#[test]
fn a_call_plan_contains_everything_needed_for_the_rewrite() {
    let world = GatewayFixture::new();
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"arguments":{{"x":1}},"name":"files__read","_meta":{{{},"progressToken":"p","io.modelcontextprotocol/logLevel":"warning","traceparent":"00-11111111111111111111111111111111-1111111111111111-01"}}}}}}"#,
        META.replace("{}", r#"{"sampling":{}}"#)
    );
    let Plan::Call(call) = world.modern("all", &text, &[]) else {
        panic!("no call");
    };
    assert_eq!(call.target.mcp_name(), Some("read"));
    assert_eq!(call.target.method(), "tools/call");
    assert_eq!(call.server().name.to_string(), "acme/files");
    assert_eq!(&*call.id, "7");
    assert_eq!(call.progress.as_deref(), Some("\"p\""));
    assert_eq!(
        call.effective_log_level(Some(LogLevel::Debug)),
        Some(LogLevel::Warning)
    );
    let trace = call.trace.as_ref().unwrap();
    assert_eq!((trace.parent.len(), trace.in_meta), (55, true));
    let capabilities = ClientCapabilities::SAMPLING;
    assert_eq!(call.client, ClientProtocol::Modern { capabilities });
    assert_eq!(
        call.spans.target_name.of(text.as_bytes()),
        b"\"files__read\""
    );
    let arguments = call.spans.arguments.unwrap();
    assert_eq!(arguments.of(text.as_bytes()), br#"{"x":1}"#);
}

#[test]
fn required_request_metadata_is_enforced() {
    let world = GatewayFixture::new();
    let ask = |meta: &str| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{{meta}}}}}}}"#
        );
        refused(world.modern("all", &text, &[]))
    };
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    for meta in [
        "",
        r#""io.modelcontextprotocol/clientCapabilities":{}"#,
        r#""io.modelcontextprotocol/protocolVersion":3"#,
    ] {
        let refusal = ask(meta);
        assert_eq!(
            refusal,
            Refusal::MissingMeta("io.modelcontextprotocol/protocolVersion")
        );
        assert_eq!((refusal.status(), refusal.rpc().code), (400, -32602));
    }
    let missing = Refusal::MissingMeta("io.modelcontextprotocol/clientCapabilities");
    assert_eq!(ask(version), missing);
    assert_eq!(
        ask(&format!(
            r#"{version},"io.modelcontextprotocol/clientCapabilities":[]"#
        )),
        missing
    );
    let mistyped = ask(&format!("{META},\"progressToken\":{{}}"));
    assert_eq!((mistyped.status(), mistyped.rpc().code), (200, -32602));
    // `clientInfo` is optional.
    assert!(matches!(
        world.modern("all", &body("tools/list", ""), &[]),
        Plan::Respond(_)
    ));
}

#[test]
fn an_unsupported_version_is_answered_with_the_supported_ones() {
    let world = GatewayFixture::new();
    let text = body("tools/list", "").replace("2026-07-28", "2027-01-01");
    let headers = StandardHeaders {
        version: ReceivedHeader::Once(b"2027-01-01"),
        method: ReceivedHeader::Once(b"tools/list"),
        ..StandardHeaders::default()
    };
    let refusal = refused(world.post("all", &parse(&text), headers, &[], SessionLookup::Absent));
    assert_eq!((refusal.status(), refusal.rpc().code), (400, -32022));
    assert_eq!(refusal.rpc().data.unwrap()["requested"], "2027-01-01");
}

#[test]
fn headers_that_disagree_with_the_body_are_rejected() {
    let world = GatewayFixture::new();
    let text = body("tools/call", r#""name":"files__read""#);
    let good = StandardHeaders {
        version: ReceivedHeader::Once(b"2026-07-28"),
        method: ReceivedHeader::Once(b"tools/call"),
        name: ReceivedHeader::Once(b"files__read"),
    };
    let ask = |headers| world.post("all", &parse(&text), headers, &[], SessionLookup::Absent);
    assert!(matches!(ask(good), Plan::Call(_)));
    let encoded = ReceivedHeader::Once(b"=?base64?ZmlsZXNfX3JlYWQ=?=");
    assert!(matches!(
        ask(StandardHeaders {
            name: encoded,
            ..good
        }),
        Plan::Call(_)
    ));
    for headers in [
        StandardHeaders {
            version: ReceivedHeader::Absent,
            ..good
        },
        StandardHeaders {
            version: ReceivedHeader::Once(b"2025-11-25"),
            ..good
        },
        StandardHeaders {
            version: ReceivedHeader::Repeated,
            ..good
        },
        StandardHeaders {
            method: ReceivedHeader::Absent,
            ..good
        },
        StandardHeaders {
            method: ReceivedHeader::Once(b"Tools/call"),
            ..good
        },
        StandardHeaders {
            name: ReceivedHeader::Absent,
            ..good
        },
        StandardHeaders {
            name: ReceivedHeader::Once(b"files__list"),
            ..good
        },
        StandardHeaders {
            name: ReceivedHeader::Once(b"read"),
            ..good
        },
        StandardHeaders {
            name: ReceivedHeader::Repeated,
            ..good
        },
        StandardHeaders {
            name: ReceivedHeader::Once(b"=?base64?###?="),
            ..good
        },
    ] {
        let refusal = refused(ask(headers));
        assert_eq!(
            (refusal.status(), refusal.rpc().code),
            (400, -32020),
            "{headers:?}"
        );
    }
}

/// Rejects ambiguous arguments: the header repeats one of two values, and the server could read the other.
#[test]
fn ov_05_duplicate_names_in_mirrored_arguments_are_rejected() {
    let world = GatewayFixture::new();
    for twice in [
        r#"{"city":"Bergen","city":"Oslo"}"#,
        r#"{"city":"Bergen","\u0063ity":"Oslo"}"#,
        r#"{"city":"Oslo","more":[{"a":1,"a":2}]}"#,
    ] {
        let members = format!(r#""name":"weather__forecast","arguments":{twice}"#);
        let oslo: (&str, &[u8]) = ("mcp-param-city", b"Oslo");
        let modern = world.modern("all", &body("tools/call", &members), &[oslo]);
        let frame =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{members}}}}}"#);
        for plan in [modern, world.legacy("all", &frame)] {
            let refusal = refused(plan);
            assert_eq!(refusal.rpc().code, -32602, "{twice}");
        }
    }
}

#[test]
fn mirrored_arguments_must_agree_with_the_body() {
    let world = GatewayFixture::new();
    let ask = |arguments: &str, params: &[(&str, &[u8])]| {
        let members = format!(r#""name":"weather__forecast","arguments":{arguments}"#);
        world.modern("all", &body("tools/call", &members), params)
    };
    let oslo: (&str, &[u8]) = ("mcp-param-city", b"Oslo");
    assert!(matches!(ask(r#"{"city":"Oslo"}"#, &[oslo]), Plan::Call(_)));
    assert!(matches!(ask("{}", &[]), Plan::Call(_)));
    assert!(matches!(
        ask(r#"{"city":null}"#, &[("mcp-param-other", b"x")]),
        Plan::Call(_)
    ));
    for (arguments, params) in [
        (r#"{"city":"Oslo"}"#, &[][..]),
        (r#"{"city":"Bergen"}"#, &[oslo][..]),
        (r#"{"city":"Oslo"}"#, &[oslo, oslo][..]),
        ("{}", &[oslo][..]),
    ] {
        let refusal = refused(ask(arguments, params));
        assert_eq!(
            (refusal.status(), refusal.rpc().code),
            (400, -32020),
            "{arguments}"
        );
    }
}

#[test]
fn methods_of_the_other_era_are_unknown() {
    let world = GatewayFixture::new();
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "nonsense",
        "",
    ] {
        let refusal = refused(world.modern("all", &body(method, ""), &[]));
        assert_eq!(
            (refusal.status(), refusal.rpc().code),
            (404, -32601),
            "{method}"
        );
    }
}

#[test]
fn subscriptions_listen_needs_a_filter() {
    let world = GatewayFixture::new();
    let listen = |members: &str| world.modern("all", &body("subscriptions/listen", members), &[]);
    let members = r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#;
    let Plan::Listen(asked) = listen(members) else {
        panic!("not listening");
    };
    assert_eq!(&*asked.id, r#""a\u0031""#);
    assert!(asked.list_changes.tools && !asked.list_changes.prompts);
    // No server of this gateway supports resource subscriptions.
    assert!(asked.resources.is_empty());
    for wrong in [
        "",
        r#""notifications":[]"#,
        r#""notifications":{"toolsListChanged":2}"#,
    ] {
        let refusal = refused(listen(wrong));
        assert_eq!(refusal.rpc().code, -32602, "{wrong}");
    }
}

#[test]
fn modern_requests_have_no_sessions() {
    let world = GatewayFixture::new();
    let text = body("tools/list", "");
    let headers = StandardHeaders {
        version: ReceivedHeader::Once(b"2026-07-28"),
        method: ReceivedHeader::Once(b"tools/list"),
        ..StandardHeaders::default()
    };
    // The session header has no effect.
    for session in [
        SessionLookup::Unknown,
        SessionLookup::Valid(&world.session),
        SessionLookup::Absent,
    ] {
        let planned = world.post("all", &parse(&text), headers, &[], session);
        assert!(matches!(planned, Plan::Respond(_)));
    }
    let era = RequestEra::Modern;
    for request in [
        EndpointRequest::Get { era: &era },
        EndpointRequest::Delete { era: &era },
    ] {
        let refusal = refused(plan(&PlanInput {
            gateway: world.gateway(),
            caller: &world.caller("all"),
            request,
            trace: None,
            session: SessionLookup::Valid(&world.session),
            cipher: &world.cipher,
            now: NOW,
        }));
        assert_eq!(refusal.status(), 405);
    }
}

#[test]
fn notifications_are_accepted_and_responses_are_not() {
    let world = GatewayFixture::new();
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert!(matches!(world.modern("all", notice, &[]), Plan::Accept));
    let forgotten = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"files__read"}}"#;
    assert_eq!(refused(world.modern("all", forgotten, &[])).status(), 400);
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(refused(world.modern("all", response, &[])).status(), 400);
}

#[test]
fn a_log_level_is_set_by_the_request_of_a_modern_client_and_by_the_session_of_a_legacy_one() {
    let world = GatewayFixture::new();
    let call = |plan: Plan| {
        let Plan::Call(call) = plan else {
            panic!("{plan:?}");
        };
        call
    };
    let warning = Some(LogLevel::Warning);
    let text = body("tools/call", r#""name":"files__read""#);
    let silent = call(world.modern("all", &text, &[]));
    assert_eq!(silent.effective_log_level(warning), None);
    assert!(!silent.sets_log_level(warning) && !silent.sets_log_level(None));
    let meta = format!(r#"{META},"io.modelcontextprotocol/logLevel":"warning""#);
    let logged = call(world.modern("all", &text.replace(META, &meta), &[]));
    assert_eq!(logged.effective_log_level(None), warning);
    assert!(logged.sets_log_level(None));
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__read"}}"#;
    let legacy = call(world.legacy("all", text));
    assert!(legacy.sets_log_level(warning) && !legacy.sets_log_level(None));
}
