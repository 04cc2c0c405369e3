//! Tests of requests to servers.

use serde_json::{Value, json};
use toolgate_model::Era;

use super::{UPSTREAM_ID, call, json, owned};
use crate::{
    rewrite::{UpstreamRequest, UpstreamRequestOptions, request},
    session::LogLevel,
};

pub(super) fn towards(era: Era) -> UpstreamRequestOptions<'static> {
    UpstreamRequestOptions {
        era,
        version: match era {
            Era::Legacy => "2025-06-18",
            Era::Modern => "2026-07-28",
        },
        id: UPSTREAM_ID,
        log_level: None,
        traceparent: None,
    }
}

fn sent(
    client: Era,
    to: UpstreamRequestOptions<'_>,
    tool: &str,
    params: &str,
    meta: &str,
) -> (Value, UpstreamRequest<'static>) {
    let (call, body) = call(client, tool, params, meta);
    let request = request(&body, &call, &to).unwrap();
    (json(&request.body), owned(request))
}

fn header<'a>(request: &'a UpstreamRequest<'_>, name: &str) -> Option<&'a str> {
    let mut all = request.headers.iter();
    all.find(|(header, _)| header == name)
        .map(|(_, value)| &**value)
}

#[test]
fn legacy_to_legacy_changes_only_id_and_name() {
    let (_, request) = sent(
        Era::Legacy,
        towards(Era::Legacy),
        "files__read",
        r#""arguments": {"path" : "a",  "n":1.0}, "task":{"ttl":1}"#,
        "",
    );
    assert_eq!(
        request.body,
        r#"{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"read","arguments": {"path" : "a",  "n":1.0}, "task":{"ttl":1}}}"#
    );
    assert_eq!(header(&request, "mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(request.headers.len(), 1);
}

#[test]
fn progress_tokens_are_replaced() {
    for (client, server) in [
        (Era::Legacy, Era::Legacy),
        (Era::Legacy, Era::Modern),
        (Era::Modern, Era::Legacy),
        (Era::Modern, Era::Modern),
    ] {
        let (body, _) = sent(
            client,
            towards(server),
            "files__read",
            "",
            r#""progressToken":"theirs","x/y":[1]"#,
        );
        assert_eq!(
            body["params"]["_meta"]["progressToken"], 42,
            "{client:?} {server:?}"
        );
        assert_eq!(body["params"]["_meta"]["x/y"], json!([1]));
        let (body, _) = sent(client, towards(server), "files__read", "", "");
        assert_eq!(body["params"]["_meta"].get("progressToken"), None);
    }
}

#[test]
fn modern_servers_get_client_info_and_relayable_capabilities() {
    let prefix = "io.modelcontextprotocol/";
    let (body, request) = sent(
        Era::Legacy,
        towards(Era::Modern),
        "weather__forecast",
        r#""arguments":{"city":"Osl\u00f8"}"#,
        "",
    );
    let meta = &body["params"]["_meta"];
    assert_eq!(meta[&format!("{prefix}protocolVersion")], "2026-07-28");
    assert_eq!(meta[&format!("{prefix}clientCapabilities")], json!({}));
    assert_eq!(meta[&format!("{prefix}clientInfo")]["name"], "toolgate");
    assert_eq!(header(&request, "mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(header(&request, "mcp-method"), Some("tools/call"));
    assert_eq!(header(&request, "mcp-name"), Some("forecast"));
    assert_eq!(
        header(&request, "mcp-param-city"),
        Some("=?base64?T3Nsw7g=?=")
    );
    assert_eq!(meta.get(format!("{prefix}logLevel")), None);
    let to = UpstreamRequestOptions {
        log_level: Some(LogLevel::Warning),
        ..towards(Era::Modern)
    };
    let (body, _) = sent(Era::Legacy, to, "files__read", "", "");
    assert_eq!(
        body["params"]["_meta"][&format!("{prefix}logLevel")],
        "warning"
    );
}

#[test]
fn relayable_capabilities_of_a_modern_client_are_forwarded() {
    let (call, body) = {
        let world = crate::fixture::GatewayFixture::new();
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__read","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}},"extensions":{"x/y":{}},"sampling":{},"tasks":{}},"io.modelcontextprotocol/clientInfo":{"name":"spy","version":"1"},"baggage":"user=ada","tracestate":"t=1","traceparent":"00-11111111111111111111111111111111-1111111111111111-01"}}}"#;
        let crate::Plan::Call(call) = world.modern("all", body, &[]) else {
            panic!("no call");
        };
        (call, bytes::Bytes::from(body))
    };
    let modern = json(&request(&body, &call, &towards(Era::Modern)).unwrap().body);
    let meta = &modern["params"]["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({"elicitation": {"url": {}}, "sampling": {}})
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientInfo"]["name"],
        "toolgate"
    );
    assert_eq!(
        (meta.get("baggage"), &meta["tracestate"]),
        (None, &json!("t=1"))
    );
    let legacy = json(&request(&body, &call, &towards(Era::Legacy)).unwrap().body);
    let carried = json!({"tracestate": "t=1",
        "traceparent": "00-11111111111111111111111111111111-1111111111111111-01"});
    assert_eq!(legacy["params"]["_meta"], carried);
}

#[test]
fn the_gateway_span_replaces_the_callers_span() {
    let theirs = r#""traceparent":"00-11111111111111111111111111111111-1111111111111111-01""#;
    let ours = "00-11111111111111111111111111111111-2222222222222222-01";
    for server in [Era::Legacy, Era::Modern] {
        let to = UpstreamRequestOptions {
            traceparent: Some(ours),
            ..towards(server)
        };
        let (body, _) = sent(Era::Legacy, to, "files__read", "", theirs);
        assert_eq!(body["params"]["_meta"]["traceparent"], ours);
    }
    let (body, _) = sent(Era::Legacy, towards(Era::Legacy), "files__read", "", theirs);
    assert_eq!(
        body["params"]["_meta"]["traceparent"]
            .as_str()
            .unwrap()
            .len(),
        55
    );
}
