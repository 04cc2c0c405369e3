//! Property tests of exposed URIs, compared with a model on parsed values: URIs get their prefix, and all other
//! content is unchanged.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use toolgate_model::Era;

use super::{
    UPSTREAM_ID, json,
    properties::{era, value},
    targets::{COMPLETION, PROMPT, RESOURCE, TOOL, planned},
};
use crate::{rewrite::ResponseRelay, view::uri};

/// Rewritten result of this request.
fn rewritten_result(client: Era, server: Era, asked: (&str, &str), result: &Value) -> Value {
    let (call, _body) = planned(client, asked);
    let answer = json!({"jsonrpc": "2.0", "id": UPSTREAM_ID, "result": result}).to_string();
    let reply = ResponseRelay::new(call, server, UPSTREAM_ID, None)
        .on_single_response(&Bytes::from(answer));
    json(&reply.unwrap().body.to_bytes())["result"].clone()
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,3}:\\PC{0,6}",
        "ui://[a-z/\"\\\\\u{e9}]{0,6}",
        "https://[a-z.]{1,6}",
    ]
}

fn block() -> impl Strategy<Value = Value> {
    let link = |uri| json!({"type": "resource_link", "uri": uri, "name": "uri"});
    let held = |(uri, rest)| json!({"resource": {"text": "x:y", "uri": uri, "x": rest}, "type": "resource"});
    let text = |(uri, rest)| json!({"type": "text", "text": uri, "uri": uri, "x": rest});
    prop_oneof![
        address().prop_map(link),
        (address(), value()).prop_map(held),
        (address(), value()).prop_map(text),
        value(),
    ]
}

fn show(place: Option<&mut Value>) {
    if let Some(Value::String(uri)) = place {
        *uri = uri::prefixed("weather", uri).into_owned();
    }
}

/// Reference model.
fn expose_block(block: &mut Value) {
    match block.get("type").and_then(Value::as_str) {
        Some("resource_link") => show(block.get_mut("uri")),
        Some("resource") => show(block.pointer_mut("/resource/uri")),
        Some(_) | None => {}
    }
}

proptest! {
    #[test]
    fn tool_results_show_prefixed_uris(client in era(), server in era(), mut blocks in prop::collection::vec(block(), 0..4), view in prop::option::of(address())) {
        let mut result = json!({"content": blocks, "structuredContent": {"uri": "memo:x"}});
        if let Some(view) = &view {
            result["_meta"] = json!({"ui": {"resourceUri": view}});
        }
        let got = rewritten_result(client, server, TOOL, &result);
        blocks.iter_mut().for_each(expose_block);
        prop_assert_eq!(&got["content"], &Value::from(blocks));
        prop_assert_eq!(&got["structuredContent"], &result["structuredContent"]);
        let view = view.map(|view| uri::prefixed("weather", &view).into_owned());
        let rendered = got.pointer("/_meta/ui/resourceUri");
        prop_assert_eq!(rendered.and_then(Value::as_str), view.as_deref());
    }

    #[test]
    fn prompt_results_show_prefixed_uris(client in era(), server in era(), mut blocks in prop::collection::vec(block(), 0..4), together in any::<bool>()) {
        let said = |blocks: &[Value]| if together {
            json!([{"role": "user", "content": blocks}])
        } else {
            blocks.iter().map(|block| json!({"role": "user", "content": block})).collect()
        };
        // An array is not a content block; its items would be taken for several blocks.
        prop_assume!(together || !blocks.iter().any(Value::is_array));
        let got = rewritten_result(client, server, PROMPT, &json!({"messages": said(&blocks)}));
        blocks.iter_mut().for_each(expose_block);
        prop_assert_eq!(&got["messages"], &said(&blocks));
    }

    #[test]
    fn resource_results_show_prefixed_uris(client in era(), server in era(), addresses in prop::collection::vec(address(), 0..4), rest in value()) {
        let read = |show: &dyn Fn(&String) -> String| -> Value {
            let addresses = addresses.iter().map(show);
            addresses.map(|uri| json!({"text": "memo:x", "uri": uri, "x": rest})).collect()
        };
        let got = rewritten_result(client, server, RESOURCE, &json!({"contents": read(&String::clone)}));
        let shown = read(&|uri| uri::prefixed("weather", uri).into_owned());
        prop_assert_eq!(&got["contents"], &shown);
    }

    #[test]
    fn arbitrary_server_results_cause_no_panic(client in era(), server in era(), any in value(), asked in 0..4_usize) {
        let asked = [TOOL, PROMPT, RESOURCE, COMPLETION][asked];
        let result = json!({"content": any, "messages": any, "contents": any, "completion": any, "x": any});
        let got = rewritten_result(client, server, asked, &result);
        prop_assert_eq!(&got["x"], &any);
    }
}
