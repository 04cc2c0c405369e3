//! Property tests for arbitrary payloads and all four pairs of eras: nothing is lost, and only the gateway's own
//! members are added.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolgate_mcp::{ByteEdit, ByteSpan, splice};
use toolgate_model::Era;

use super::{UPSTREAM_ID, call, json, relay};
use crate::rewrite::{UpstreamRequestOptions, request, segmented_splice::segmented_splice};

pub(super) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\\\\u{e9}]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("x-[a-z\"\\\\]{0,6}", value(), 0..5)
        .prop_map(|map| map.into_iter().collect())
}

pub(super) fn era() -> impl Strategy<Value = Era> {
    prop_oneof![Just(Era::Legacy), Just(Era::Modern)]
}

/// `_meta` without hop-by-hop members.
fn carried(meta: &Value) -> Value {
    let members = meta.as_object().cloned().unwrap_or_default();
    let kept = members
        .into_iter()
        .filter(|(name, _)| name.starts_with("x-"));
    Value::Object(kept.collect())
}

proptest! {
    #[test]
    fn requests_carry_their_payload(
        client in era(), server in era(), arguments in object(), meta in object(), more in object(),
        pretty in any::<bool>(),
    ) {
        let print = |object: &Map<String, Value>| {
            let text = if pretty { serde_json::to_string_pretty(object) } else { serde_json::to_string(object) };
            text.unwrap()
        };
        let inner = |object: &Map<String, Value>| {
            let text = print(object);
            text[1..text.len() - 1].to_owned()
        };
        let comma = if more.is_empty() { "" } else { "," };
        let params = format!(r#""arguments":{}{comma}{}"#, print(&arguments), inner(&more));
        let (call, body) = call(client, "files__read", &params, &inner(&meta));
        let to = UpstreamRequestOptions { era: server, version: "v", id: UPSTREAM_ID, log_level: None, traceparent: None };
        let sent = json(&request(&body, &call, &to).unwrap().body);
        prop_assert_eq!(&sent["id"], &json!(UPSTREAM_ID));
        prop_assert_eq!(&sent["params"]["name"], "read");
        prop_assert_eq!(&sent["params"]["arguments"], &Value::Object(arguments));
        prop_assert_eq!(carried(&sent["params"]["_meta"]), Value::Object(meta));
        for (name, value) in more {
            prop_assert_eq!(&sent["params"][&name], &value);
        }
    }

    #[test]
    fn answers_carry_their_payload(
        client in era(), server in era(), members in object(), meta in prop::option::of(object()),
        typed in any::<bool>(), structured in prop::option::of(value()),
    ) {
        let mut result = members.clone();
        if let Some(meta) = &meta {
            result.insert("_meta".to_owned(), Value::Object(meta.clone()));
        }
        if typed {
            result.insert("resultType".to_owned(), json!("complete"));
        }
        if let Some(structured) = &structured {
            result.insert("structuredContent".to_owned(), structured.clone());
        }
        let answer = json!({"jsonrpc": "2.0", "id": UPSTREAM_ID, "result": result}).to_string();
        let reply = relay(client, server, "").on_single_response(&Bytes::from(answer)).unwrap();
        let told = json(&reply.body.to_bytes());
        prop_assert_eq!(&told["id"], "c-1");
        let modern = client == Era::Modern;
        for (name, value) in &members {
            prop_assert_eq!(&told["result"][name], value);
        }
        prop_assert_eq!(carried(&told["result"]["_meta"]), Value::Object(meta.unwrap_or_default()));
        prop_assert_eq!(told["result"].get("resultType").is_some(), modern);
        let ours = told["result"]["_meta"].get("io.modelcontextprotocol/serverInfo");
        prop_assert_eq!(ours.is_some(), modern);
        let structured = structured.filter(|value| modern || value.is_object());
        // A legacy schema has it optional, and `null` counts as absent.
        let structured = structured.filter(|value| server == Era::Modern || !value.is_null());
        prop_assert_eq!(told["result"].get("structuredContent"), structured.as_ref());
    }

    #[test]
    fn arbitrary_server_bytes_cause_no_panic(client in era(), server in era(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let reply = relay(client, server, "").on_single_response(&Bytes::from(bytes)).unwrap();
        prop_assert_eq!(&json(&reply.body.to_bytes())["id"], "c-1");
    }

    #[test]
    fn stitched_pieces_equal_the_spliced_text(
        source in prop::collection::vec(any::<u8>(), 0..100),
        edits in prop::collection::vec((0_usize..110, 0_usize..20, prop::collection::vec(any::<u8>(), 0..5)), 0..5),
    ) {
        let source = Bytes::from(source);
        let edits = || edits.iter().map(|(start, len, with)| {
            ByteEdit::replace(ByteSpan::new(*start, start + len), with.clone())
        }).collect::<Vec<_>>();
        let stitched = segmented_splice(&source, edits()).map(|parts| parts.to_bytes()).ok();
        prop_assert_eq!(stitched, splice(&source, edits()).ok());
    }
}
