//! Tests that each built message is accepted by this crate's own parser.

use serde_json::Value;

use super::*;
use crate::{FrameLimits, envelope, server_message};

fn us() -> Implementation {
    Implementation {
        name: "toolgate".to_owned(),
        title: "T \"q\"".to_owned(),
        version: "1".to_owned(),
    }
}

fn meta<'a>(client: &'a str, carry: Option<&'a [u8]>) -> ModernRequestMeta<'a> {
    ModernRequestMeta {
        version: "2026-07-28",
        capabilities: "{}",
        client: Some(client),
        progress_token: Some("\"t\""),
        log_level: Some("info"),
        forwarded: carry,
    }
}

#[test]
fn every_built_message_is_accepted_by_the_reader() {
    let client = us().to_json();
    let meta = meta(&client, None);
    for bytes in [
        initialize("1", "2025-11-25", "{}", &us()),
        initialized(),
        discover("\"d\"", &meta),
        list(method::TOOLS_LIST, "1", None, None),
        list(method::TOOLS_LIST, "1", Some("c\"\n"), None),
        list(method::TOOLS_LIST, "1", Some("c"), Some(&meta)),
        listen("1", r#"{"toolsListChanged":true}"#, &meta),
        cancelled("\"x\"", "why"),
        acknowledged("5", "{}"),
        changed("notifications/tools/list_changed", Some("5")),
        changed("notifications/tools/list_changed", None),
        response(
            "1",
            &list_page("tools", ["{\"name\":\"a\"}", "{}"], Some("n"), ""),
        ),
        response("1", &tool_error("no \"luck\"", "word", Some(&us()))),
        response("1", &tool_error("no \"luck\"", "word", None)),
    ] {
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            envelope::parse(&bytes, &FrameLimits::REQUEST).is_ok(),
            "{text}"
        );
        assert!(
            server_message::scan(&bytes, &FrameLimits::SERVER_MESSAGE).is_ok(),
            "{text}"
        );
    }
}

#[test]
fn modern_results_carry_the_required_members() {
    let caching = CacheHints {
        ttl_ms: 5000,
        public: false,
    };
    let result = discover_result(
        &["2026-07-28"],
        "{\"tools\":{}}",
        &us(),
        "read \"me\"",
        caching,
    );
    let value: Value = serde_json::from_str(&result).unwrap();
    assert_eq!(value["resultType"], "complete");
    assert_eq!(
        (value["ttlMs"].as_u64(), value["cacheScope"].as_str()),
        (Some(5000), Some("private"))
    );
    assert_eq!(value["_meta"][method::META_SERVER]["name"], "toolgate");
    assert_eq!(value["instructions"], "read \"me\"");
    let page = list_page("tools", [], None, &modern_members(&us(), Some(caching)));
    let value: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(value["tools"].as_array().map(Vec::len), Some(0));
    assert_eq!(value.get("nextCursor"), None);
}

#[test]
fn hop_specific_meta_is_not_forwarded() {
    let carry = br#"{"progressToken":1,"io.modelcontextprotocol/clientInfo":{"name":"agent"},
        "io.modelcontextprotocol/protocolVersion":"9","vendor/k":[1],"traceparent":"00"}"#;
    let client = us().to_json();
    let value: Value = serde_json::from_slice(&meta(&client, Some(carry)).to_json()).unwrap();
    assert_eq!(value[method::META_CLIENT]["name"], "toolgate");
    assert_eq!(value[method::META_VERSION], "2026-07-28");
    assert_eq!(value["progressToken"], "t");
    assert_eq!(value["vendor/k"][0], 1);
    assert_eq!(value["traceparent"], "00");
    let bare = legacy_meta(None, b"", None);
    assert_eq!(bare, b"{}");
}
