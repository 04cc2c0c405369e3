//! Tests of shaped tools: the exposed definitions, the accepted arguments, and the requests to servers.

use serde_json::{Value, json};
use toolgate_model::{
    Era, Snapshot, SnapshotResource, SnapshotResourceKind,
    snapshot::{ExposedTool, ToolShape},
};

use crate::{
    Plan, Refusal,
    fixture::{GatewayFixture, META, insert, key, test_servers, test_snapshot},
    rewrite::{UpstreamRequestOptions, request},
};

fn shaped(change: impl Fn(&mut ExposedTool)) -> Snapshot {
    let mut snapshot = test_snapshot(&test_servers());
    let key = key(SnapshotResourceKind::Gateway, "acme", "main");
    let SnapshotResource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
        panic!("not a gateway");
    };
    let mut gateway = gateway.clone();
    gateway.tools.iter_mut().for_each(change);
    gateway.must_understand = vec!["shaped_arguments".to_owned()];
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(gateway),
    );
    snapshot
}

/// Gateway whose forecast tool is fixed to Bern, with its other arguments hidden.
fn bern() -> GatewayFixture {
    GatewayFixture::of(&shaped(|tool| {
        if tool.original == "forecast" {
            tool.shape = Some(ToolShape {
                description: Some("Weather in Bern.".to_owned()),
                fixed: [("city".to_owned(), "\"Bern\"".to_owned())].into(),
                hidden: vec!["units".to_owned()],
            });
        }
    }))
}

fn call(world: &GatewayFixture, arguments: &str) -> (Plan, bytes::Bytes) {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"weather__forecast"{arguments},"_meta":{{{META}}}}}}}"#
    );
    (world.modern("all", &body, &[]), bytes::Bytes::from(body))
}

#[test]
fn clients_see_the_shaped_definition_without_hidden_arguments() {
    let gateway = bern();
    let gateway = gateway.gateway();
    let tool = gateway.tool("weather__forecast").unwrap();
    let seen: Value = serde_json::from_str(&tool.definition(Era::Modern)).unwrap();
    assert_eq!(seen["description"], "Weather in Bern.");
    assert_eq!(
        seen["inputSchema"],
        json!({"type": "object", "properties": {}})
    );
    let plain = GatewayFixture::new();
    let plain = plain.gateway();
    assert_ne!(plain.tools_digest, gateway.tools_digest);
    let other = gateway.tool("files__read").unwrap();
    assert_eq!(
        other.definition(Era::Legacy),
        plain.tool("files__read").unwrap().definition(Era::Legacy)
    );
    assert!(other.reserved_arguments.is_none());
}

#[test]
fn a_fixed_or_hidden_argument_is_rejected_by_name() {
    let world = bern();
    for (given, named) in [
        (r#"{"city":"Rome"}"#, "city"),
        (r#"{"units":"f"}"#, "units"),
    ] {
        let (plan, _) = call(&world, &format!(r#","arguments":{given}"#));
        let Plan::Refuse(Refusal::InvalidParams(text)) = plan else {
            panic!("{plan:?}");
        };
        assert!(text.contains(&format!("`{named}`")), "{text}");
    }
}

#[test]
fn a_look_alike_of_a_fixed_or_hidden_argument_is_rejected() {
    let world = bern();
    for (given, named, reserved) in [
        (r#"{"City":"Rome"}"#, "City", "city"),
        (r#"{"UNITS":"f"}"#, "UNITS", "units"),
        (r#"{"C\u0049ty":"Rome"}"#, "CIty", "city"),
        (r#"{"unit\u017f":"f"}"#, "unit\u{17f}", "units"),
    ] {
        let (plan, _) = call(&world, &format!(r#","arguments":{given}"#));
        let Plan::Refuse(Refusal::InvalidParams(text)) = plan else {
            panic!("{plan:?}");
        };
        assert_eq!(
            text,
            format!(
                "argument `{named}` differs only by case from `{reserved}`, which cannot be set by callers: leave it out"
            )
        );
    }
}

#[test]
fn an_argument_that_renders_like_a_fixed_or_hidden_one_is_rejected() {
    let world = bern();
    for (given, named, reserved) in [
        ("c\u{456}ty", "c\u{456}ty", "city"),
        ("\u{ff43}ity", "\u{ff43}ity", "city"),
        ("un\u{200b}its", "un\\u{200b}its", "units"),
        ("units\u{2800}", "units\\u{2800}", "units"),
    ] {
        let arguments = json!({ given: "Rome" });
        let (plan, _) = call(&world, &format!(r#","arguments":{arguments}"#));
        let Plan::Refuse(Refusal::InvalidParams(text)) = plan else {
            panic!("{plan:?}");
        };
        assert_eq!(
            text,
            format!(
                "argument `{named}` looks like `{reserved}`, which cannot be set by callers: leave it out"
            )
        );
    }
}

#[test]
fn servers_get_fixed_values_in_arguments_and_headers() {
    let world = bern();
    let cases = [
        ("", json!({"city": "Bern"})),
        (r#","arguments": { }"#, json!({"city": "Bern"})),
        (
            r#","arguments":{"days":2.50}"#,
            json!({"days": 2.50, "city": "Bern"}),
        ),
    ];
    for (given, wanted) in cases {
        let (plan, body) = call(&world, given);
        let Plan::Call(call) = plan else {
            panic!("{plan:?}");
        };
        let to = |era, version| UpstreamRequestOptions {
            era,
            version,
            id: 9,
            log_level: None,
            traceparent: None,
        };
        let modern = request(&body, &call, &to(Era::Modern, "2026-07-28")).unwrap();
        let sent: Value = serde_json::from_slice(&modern.body).unwrap();
        assert_eq!(sent["params"]["arguments"], wanted);
        assert_eq!(sent["params"]["name"], "forecast");
        let mirrored = modern.headers.iter().find(|(n, _)| n == "mcp-param-city");
        assert_eq!(mirrored.map(|(_, value)| &**value), Some("Bern"));
        let legacy = request(&body, &call, &to(Era::Legacy, "2025-06-18")).unwrap();
        let sent: Value = serde_json::from_slice(&legacy.body).unwrap();
        assert_eq!(sent["params"]["arguments"], wanted);
    }
}

#[test]
fn a_gateway_may_shorten_the_timeout_of_a_server() {
    let mut snapshot = shaped(|_| {});
    let key = key(SnapshotResourceKind::Gateway, "acme", "main");
    let SnapshotResource::Gateway(gateway) = &*snapshot.entries[&key].resource else {
        panic!("not a gateway");
    };
    let mut gateway = gateway.clone();
    let most = std::time::Duration::from_secs(2);
    gateway.timeouts = [(crate::fixture::slug("weather"), most)].into();
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(gateway),
    );
    let world = GatewayFixture::of(&snapshot);
    let (Plan::Call(call), _) = call(&world, r#","arguments":{}"#) else {
        panic!("no call");
    };
    assert_eq!(call.timeout(), Some(most));
    let files = &world.gateway().tool("files__read").unwrap().server;
    assert_eq!(world.gateway().timeout(files), None);
}
