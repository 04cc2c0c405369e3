//! Tests of addresses and arguments.

use super::{endpoint_url, next_token, parse_arguments, without_binary};
use crate::cli::client::gateway_address::connectable_url;

#[test]
fn an_endpoint_is_built_from_the_address_of_a_proxy() {
    assert_eq!(
        endpoint_url(&connectable_url("0.0.0.0:7300"), "demo"),
        "http://127.0.0.1:7300/v1/mcp/demo"
    );
    assert_eq!(
        endpoint_url("https://gw.example/", "a"),
        "https://gw.example/v1/mcp/a"
    );
    assert_eq!(endpoint_url("gw:80", "a"), "http://gw:80/v1/mcp/a");
    // URL as `up` and `connect` print it.
    assert_eq!(
        endpoint_url("https://gw.example/v1/mcp/a", "a"),
        "https://gw.example/v1/mcp/a"
    );
}

#[test]
fn arguments_are_an_object_or_a_usage_error() {
    assert!(parse_arguments("{\"a\":1}").is_ok());
    for wrong in ["[1]", "{", "@/does/not/exist"] {
        assert_eq!(parse_arguments(wrong).unwrap_err().kind as u8, 2, "{wrong}");
    }
}

#[test]
fn an_image_is_summarized_on_a_terminal() {
    let image =
        serde_json::json!({ "type": "image", "mimeType": "image/png", "data": "A".repeat(4000) });
    let shown = without_binary(&image);
    assert_eq!(shown["mimeType"], "image/png");
    assert_eq!(shown["data"], "(3000 bytes, shown with -o json)");
}

#[test]
fn the_advice_for_a_refused_token_tells_whether_its_gateway_exists() {
    for lost in [Some("ci"), None] {
        let present = next_token("tools", lost, true);
        assert!(present.starts_with("`toolgate token "), "{present}");
        assert!(!present.contains("gateway create"), "{present}");
        let absent = next_token("tools", lost, false);
        assert!(
            absent.starts_with("there is no gateway tools now: `toolgate gateway create tools "),
            "{absent}"
        );
        assert!(!absent.contains("exists now"), "{absent}");
        let token = lost.map_or("token create NAME ", |_| "token update ci ");
        assert!(absent.contains(token), "{absent}");
    }
}
