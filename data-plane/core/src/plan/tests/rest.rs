//! Tests of prompts, resources and completion. Both eras behave alike, except for the error code of a missing
//! resource.

use serde_json::{Value, json};
use toolgate_mcp::headers::{ReceivedHeader, StandardHeaders};
use toolgate_model::{
    Era, Snapshot, SnapshotResource, SnapshotResourceKind, UriMode, snapshot::SnapshotEntry,
};

use crate::{
    Plan, Refusal,
    fixture::{GatewayFixture, META, key, located, parse, test_servers, test_snapshot},
    plan::SessionLookup,
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn body(era: Era, method: &str, members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    let meta = match era {
        Era::Legacy => String::new(),
        Era::Modern => format!(r#"{comma}"_meta":{{{META}}}"#),
    };
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{members}{meta}}}}}"#)
}

fn asked(world: &GatewayFixture, era: Era, token: &str, method: &str, members: &str) -> Plan {
    let body = body(era, method, members);
    match era {
        Era::Legacy => world.legacy(token, &body),
        Era::Modern => world.modern(token, &body, &[]),
    }
}

fn result(plan: Plan) -> Value {
    let Plan::Respond(parts) = plan else {
        panic!("{plan:?}");
    };
    let answer: Value = serde_json::from_slice(&parts.to_bytes()).unwrap();
    answer["result"].clone()
}

fn refused(plan: Plan) -> Refusal {
    let Plan::Refuse(refusal) = plan else {
        panic!("{plan:?}");
    };
    refusal
}

/// Server that is called, and its own name of the target.
fn sent(plan: Plan) -> (String, String) {
    let Plan::Call(call) = plan else {
        panic!("{plan:?}");
    };
    let name = serde_json::from_slice(call.target.original_json()).unwrap();
    (call.server().name.id.to_string(), name)
}

/// This member of all items of a list.
fn listed(
    world: &GatewayFixture,
    era: Era,
    token: &str,
    method: &str,
    member: &str,
    name: &str,
) -> Value {
    let result = result(asked(world, era, token, method, ""));
    assert_eq!(result.get("resultType").is_some(), era == Era::Modern);
    assert_eq!(result.get("ttlMs").is_some(), era == Era::Modern);
    let items = result[member].as_array().unwrap().iter();
    items.map(|item| item[name].clone()).collect()
}

/// Makes the gateway expose the URIs of servers unchanged.
fn expose_original_uris(snapshot: &mut Snapshot) {
    let key = key(SnapshotResourceKind::Gateway, "acme", "main");
    let mut resource = SnapshotResource::clone(&snapshot.entries[&key].resource);
    if let SnapshotResource::Gateway(gateway) = &mut resource {
        gateway.uris = UriMode::Through;
    }
    snapshot.entries.insert(key, SnapshotEntry::new(resource));
}

#[test]
fn lists_are_answered_from_the_view_under_exposed_names() {
    let world = GatewayFixture::new();
    for era in ERAS {
        let prompts = listed(&world, era, "all", "prompts/list", "prompts", "name");
        assert_eq!(prompts, json!(["weather__trip", "files__review"]));
        let uris = listed(&world, era, "all", "resources/list", "resources", "uri");
        let sorted = [
            "files+file:///a",
            "files+memo:today",
            "https://weather.example/map",
            "ui://weather/map/view",
            "weather+memo:today",
        ];
        assert_eq!(uris, json!(sorted));
        let (method, member) = ("resources/templates/list", "resourceTemplates");
        let templates = listed(&world, era, "all", method, member, "uriTemplate");
        assert_eq!(templates, json!(["weather+test://{city}/data"]));
    }
}

#[test]
fn a_token_limited_to_tools_sees_no_prompts_or_resources() {
    let world = GatewayFixture::new();
    for era in ERAS {
        for (method, member) in [
            ("prompts/list", "prompts"),
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ] {
            assert_eq!(
                listed(&world, era, "few", method, member, "name"),
                json!([])
            );
        }
        let prompt = |token, name: &str| {
            let members = format!(r#""name":"{name}""#);
            asked(&world, era, token, "prompts/get", &members)
        };
        let hidden = refused(prompt("few", "weather__trip"));
        assert_eq!(hidden, Refusal::UnknownPrompt("weather__trip".to_owned()));
        let unknown = refused(prompt("all", "trip"));
        assert_eq!(unknown, Refusal::UnknownPrompt("trip".to_owned()));
        assert_eq!((unknown.status(), unknown.rpc().code), (200, -32602));
        let read = |token, uri: &str| {
            let members = format!(r#""uri":"{uri}""#);
            asked(&world, era, token, "resources/read", &members)
        };
        let code = if era == Era::Modern { -32602 } else { -32002 };
        for (token, uri) in [
            ("few", "weather+memo:today"),
            ("all", "memo:today"),
            ("all", "lost+memo:today"),
            ("all", "ui://map/view"),
            ("all", "https://elsewhere.example/"),
        ] {
            let refusal = refused(read(token, uri));
            assert_eq!((refusal.status(), refusal.rpc().code), (200, code));
            assert_eq!(refusal.rpc().data, Some(json!({"uri": uri})));
        }
    }
}

#[test]
fn every_name_is_routed_to_its_server() {
    let world = GatewayFixture::new();
    for era in ERAS {
        let ask = |method: &str, members: &str| sent(asked(&world, era, "all", method, members));
        let to = |server: &str, name: &str| (server.to_owned(), name.to_owned());
        let prompt = ask("prompts/get", r#""name":"files__review""#);
        assert_eq!(prompt, to("files", "review"));
        for (uri, server, original) in [
            ("weather+memo:today", "weather", "memo:today"),
            ("files+memo:today", "files", "memo:today"),
            ("ui://weather/map/view", "weather", "ui://map/view"),
            (
                "https://weather.example/map",
                "weather",
                "https://weather.example/map",
            ),
            // An unlisted resource may exist; only the server knows.
            ("files+weather+memo:x", "files", "weather+memo:x"),
        ] {
            let read = ask("resources/read", &format!(r#""uri":"{uri}""#));
            assert_eq!(read, to(server, original));
        }
        let complete = |reference: &str| {
            let argument = r#""argument":{"name":"to","value":""}"#;
            ask(
                "completion/complete",
                &format!(r#""ref":{{{reference}}},{argument}"#),
            )
        };
        let prompt = r#""type":"ref/prompt","name":"weather__trip""#;
        assert_eq!(complete(prompt), to("weather", "trip"));
        let template = r#""type":"ref/resource","uri":"weather+test://{city}/data""#;
        assert_eq!(complete(template), to("weather", "test://{city}/data"));
        let uri = r#""type":"ref/resource","uri":"weather+memo:today""#;
        assert_eq!(complete(uri), to("weather", "memo:today"));
    }
}

#[test]
fn without_prefixes_resources_resolve_by_first_binding_then_template() {
    let mut offers = test_servers();
    offers[1].templates = vec![
        located("uriTemplate", "log://{day}"),
        located("uriTemplate", "test://files/{name}"),
    ];
    let mut snapshot = test_snapshot(&offers);
    expose_original_uris(&mut snapshot);
    let world = GatewayFixture::of(&snapshot);
    let read = |uri: &str| {
        let members = format!(r#""uri":"{uri}""#);
        asked(&world, Era::Modern, "all", "resources/read", &members)
    };
    let to = |server: &str, name: &str| (server.to_owned(), name.to_owned());
    for (uri, server) in [
        ("memo:today", "weather"),
        ("file:///a", "files"),
        ("log://monday", "files"),
        ("test://oslo/data", "weather"),
    ] {
        assert_eq!(sent(read(uri)), to(server, uri));
    }
    for nobodys in ["memo:other", "test://files/data", "weather+memo:today", ""] {
        let refusal = refused(read(nobodys));
        assert_eq!(refusal.kind(), "unknown_resource", "{nobodys}");
    }
    let uris = listed(
        &world,
        Era::Legacy,
        "all",
        "resources/list",
        "resources",
        "uri",
    );
    let once = [
        "file:///a",
        "https://weather.example/map",
        "memo:today",
        "ui://map/view",
    ];
    assert_eq!(uris, json!(once));
    // A single server is asked for any URI.
    let mut alone = crate::fixture::test_snapshot(&offers[..1]);
    expose_original_uris(&mut alone);
    let world = GatewayFixture::of(&alone);
    let any = asked(
        &world,
        Era::Legacy,
        "all",
        "resources/read",
        r#""uri":"any:thing""#,
    );
    assert_eq!(sent(any), to("weather", "any:thing"));
}

#[test]
fn completion_is_not_sent_to_a_server_without_the_capability() {
    let world = GatewayFixture::new();
    for era in ERAS {
        let complete =
            |token: &str, members: &str| asked(&world, era, token, "completion/complete", members);
        let argument = r#""argument":{"name":"to","value":""}"#;
        let reference = r#""ref":{"type":"ref/prompt","name":"files__review"}"#;
        let nothing = result(complete("all", &format!("{reference},{argument}")));
        assert_eq!(nothing["completion"]["values"], json!([]));
        assert_eq!(nothing.get("resultType").is_some(), era == Era::Modern);
        assert!(nothing.get("ttlMs").is_none());
        let hidden = refused(complete("few", &format!("{reference},{argument}")));
        assert_eq!(hidden.kind(), "unknown_prompt");
        for wrong in [
            "",
            reference,
            argument,
            &format!(r#"{reference},"argument":{{"name":"to"}}"#),
            &format!(r#"{reference},"argument":{{"name":"to","value":1}}"#),
            &format!(r#""ref":{{"type":"ref/tool","name":"files__review"}},{argument}"#),
            &format!(r#""ref":{{"type":"ref/prompt","uri":"a:b"}},{argument}"#),
            &format!(r#""ref":"files__review",{argument}"#),
        ] {
            let refusal = refused(complete("all", wrong));
            assert_eq!(refusal.rpc().code, -32602, "{wrong}");
        }
    }
}

#[test]
fn a_cursor_of_one_list_is_rejected_by_another() {
    let mut offers = test_servers();
    let uris = (0..=crate::view::PAGE_SIZE).map(|n| located("uri", &format!("memo:{n:04}")));
    offers[1].resources = uris.collect();
    let world = GatewayFixture::of(&test_snapshot(&offers));
    let ask = |method: &str, members: &str| asked(&world, Era::Modern, "all", method, members);
    let first = result(ask("resources/list", ""));
    let cursor = format!(r#""cursor":{}"#, first["nextCursor"]);
    let second = result(ask("resources/list", &cursor));
    let count = |page: &Value| page["resources"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second)), (crate::view::PAGE_SIZE, 4));
    assert_eq!(second.get("nextCursor"), None);
    for method in ["resources/templates/list", "prompts/list", "tools/list"] {
        assert_eq!(refused(ask(method, &cursor)), Refusal::BadCursor);
    }
    let few = asked(&world, Era::Modern, "few", "resources/list", &cursor);
    assert_eq!(refused(few), Refusal::BadCursor);
}

#[test]
fn header_names_must_match_the_body_for_every_method() {
    let world = GatewayFixture::new();
    let text = body(
        Era::Modern,
        "resources/read",
        r#""uri":"weather+memo:today""#,
    );
    for name in [
        ReceivedHeader::Absent,
        ReceivedHeader::Once(b"memo:today"),
        ReceivedHeader::Repeated,
    ] {
        let headers = StandardHeaders {
            version: ReceivedHeader::Once(b"2026-07-28"),
            method: ReceivedHeader::Once(b"resources/read"),
            name,
        };
        let plan = world.post("all", &parse(&text), headers, &[], SessionLookup::Absent);
        let refusal = refused(plan);
        assert_eq!((refusal.status(), refusal.rpc().code), (400, -32020));
    }
}

#[test]
fn a_running_call_is_granted_like_a_new_one() {
    let world = GatewayFixture::new();
    let (all, few) = (world.caller("all"), world.caller("few"));
    let completion =
        r#""ref":{"type":"ref/prompt","name":"weather__trip"},"argument":{"name":"to","value":""}"#;
    for era in ERAS {
        for (method, members, is_granted) in [
            ("tools/call", r#""name":"weather__forecast""#, true),
            ("tools/call", r#""name":"weather__now""#, false),
            ("prompts/get", r#""name":"weather__trip""#, false),
            ("resources/read", r#""uri":"weather+memo:today""#, false),
            ("completion/complete", completion, false),
        ] {
            let plan = asked(&world, era, "all", method, members);
            let Plan::Call(call) = plan else {
                panic!("{plan:?}");
            };
            assert!(call.target.is_granted(all.grant()), "{members}");
            let limited = call.target.is_granted(few.grant());
            assert_eq!(limited, is_granted, "{members}");
        }
    }
}
