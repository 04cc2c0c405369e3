//! Tests of the stateless rules.

use serde_json::{Value, json};
use toolgate_mcp::{
    Framing,
    headers::{Seen, Standard},
};

use crate::{
    Plan, PlanInput, Refusal,
    fixture::{META, NOW, World, parse},
    plan::{Ask, ClientSide, Presented, plan},
    session::LogLevel,
    session_id::ClientCapabilities,
};

fn body(method: &str, members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r#"{{"jsonrpc":"2.0","id":"a\u0031","method":"{method}","params":{{{members}{comma}"_meta":{{{META}}}}}}}"#
    )
}

fn answer(plan: Plan) -> Value {
    let Plan::Answer(parts) = plan else {
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
    let world = World::new();
    let discovered = answer(world.modern("all", &body("server/discover", ""), &[]));
    assert_eq!(discovered["id"], "a1");
    assert_eq!(
        discovered["result"]["capabilities"]["tools"],
        json!({"listChanged": true})
    );
    let Plan::Answer(parts) = world.modern("all", &body("tools/list", ""), &[]) else {
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
fn what_a_token_may_not_see_it_may_not_call_and_nothing_tells_why() {
    let world = World::new();
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
fn a_call_knows_all_that_is_needed_to_rewrite_it() {
    let world = World::new();
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
        call.log_level_with(Some(LogLevel::Debug)),
        Some(LogLevel::Warning)
    );
    let trace = call.trace.as_ref().unwrap();
    assert_eq!((trace.parent.len(), trace.in_meta), (55, true));
    let capabilities = ClientCapabilities::SAMPLING;
    assert_eq!(call.client, ClientSide::Modern { capabilities });
    assert_eq!(call.spans.subject.of(text.as_bytes()), b"\"files__read\"");
    let arguments = call.spans.arguments.unwrap();
    assert_eq!(arguments.of(text.as_bytes()), br#"{"x":1}"#);
}

#[test]
fn what_a_request_must_say_of_itself_is_demanded() {
    let world = World::new();
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
        Plan::Answer(_)
    ));
}

#[test]
fn versions_that_are_not_spoken_are_told_which_are() {
    let world = World::new();
    let text = body("tools/list", "").replace("2026-07-28", "2027-01-01");
    let headers = Standard {
        version: Seen::Once(b"2027-01-01"),
        method: Seen::Once(b"tools/list"),
        ..Standard::default()
    };
    let refusal = refused(world.post("all", &parse(&text), headers, &[], Presented::Absent));
    assert_eq!((refusal.status(), refusal.rpc().code), (400, -32022));
    assert_eq!(refusal.rpc().data.unwrap()["requested"], "2027-01-01");
}

#[test]
fn headers_that_disagree_with_the_body_are_refused() {
    let world = World::new();
    let text = body("tools/call", r#""name":"files__read""#);
    let good = Standard {
        version: Seen::Once(b"2026-07-28"),
        method: Seen::Once(b"tools/call"),
        name: Seen::Once(b"files__read"),
    };
    let ask = |headers| world.post("all", &parse(&text), headers, &[], Presented::Absent);
    assert!(matches!(ask(good), Plan::Call(_)));
    let encoded = Seen::Once(b"=?base64?ZmlsZXNfX3JlYWQ=?=");
    assert!(matches!(
        ask(Standard {
            name: encoded,
            ..good
        }),
        Plan::Call(_)
    ));
    for headers in [
        Standard {
            version: Seen::Absent,
            ..good
        },
        Standard {
            version: Seen::Once(b"2025-11-25"),
            ..good
        },
        Standard {
            version: Seen::Repeated,
            ..good
        },
        Standard {
            method: Seen::Absent,
            ..good
        },
        Standard {
            method: Seen::Once(b"Tools/call"),
            ..good
        },
        Standard {
            name: Seen::Absent,
            ..good
        },
        Standard {
            name: Seen::Once(b"files__list"),
            ..good
        },
        Standard {
            name: Seen::Once(b"read"),
            ..good
        },
        Standard {
            name: Seen::Repeated,
            ..good
        },
        Standard {
            name: Seen::Once(b"=?base64?###?="),
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
fn ov_05_what_is_mirrored_is_not_said_twice() {
    let world = World::new();
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
fn mirrored_arguments_have_to_agree() {
    let world = World::new();
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
    let world = World::new();
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
fn listening_says_for_what() {
    let world = World::new();
    let listen = |members: &str| world.modern("all", &body("subscriptions/listen", members), &[]);
    let members = r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#;
    let Plan::Listen(asked) = listen(members) else {
        panic!("not listening");
    };
    assert_eq!(&*asked.id, r#""a\u0031""#);
    assert!(asked.kinds.tools && !asked.kinds.prompts);
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
fn sessions_do_not_exist() {
    let world = World::new();
    let text = body("tools/list", "");
    let headers = Standard {
        version: Seen::Once(b"2026-07-28"),
        method: Seen::Once(b"tools/list"),
        ..Standard::default()
    };
    // The session header has no effect.
    for session in [
        Presented::Unknown,
        Presented::Open(&world.session),
        Presented::Absent,
    ] {
        let planned = world.post("all", &parse(&text), headers, &[], session);
        assert!(matches!(planned, Plan::Answer(_)));
    }
    let framing = Framing::Modern;
    for ask in [
        Ask::Get { framing: &framing },
        Ask::Delete { framing: &framing },
    ] {
        let refusal = refused(plan(&PlanInput {
            gateway: world.gateway(),
            caller: &world.caller("all"),
            ask,
            trace: None,
            session: Presented::Open(&world.session),
            sealer: &world.sealer,
            now: NOW,
        }));
        assert_eq!(refusal.status(), 405);
    }
}

#[test]
fn notifications_are_accepted_and_responses_are_not() {
    let world = World::new();
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert!(matches!(world.modern("all", notice, &[]), Plan::Accept));
    let forgotten = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"files__read"}}"#;
    assert_eq!(refused(world.modern("all", forgotten, &[])).status(), 400);
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(refused(world.modern("all", response, &[])).status(), 400);
}
