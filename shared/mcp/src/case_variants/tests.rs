//! OV-05: clients that ignore the case of names read the message that was checked, and all other members remain.

use serde_json::{Value, json};

use super::*;
use crate::{
    protocol_members::{RESULT, TOOL, of_params},
    server_message::scan,
};

fn without_variants(message: &Value) -> Result<Value, FrameErrorKind> {
    let text = message.to_string();
    let parsed = scan(text.as_bytes(), &FrameLimits::SERVER_MESSAGE).map_err(|it| it.reason)?;
    match parsed.without_case_variants() {
        None => Ok(message.clone()),
        Some(removed) => Ok(serde_json::from_slice(&removed?).unwrap()),
    }
}

fn result(result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": result})
}

#[test]
fn a_message_whose_envelope_has_a_case_variant_is_refused() {
    for (name, value) in [
        ("Id", json!(2)),
        ("ID", json!(null)),
        ("\u{131}d", json!(2)),
        ("Result", json!({"content": []})),
        ("re\u{17f}ult", json!({})),
        ("Error", json!({"code": 1, "message": "m"})),
        ("Method", json!("ping")),
        ("PARAMS", json!({})),
        ("JSONRPC", json!("1.0")),
    ] {
        for mut message in [
            result(&json!({"content": []})),
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "m"}}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
            json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}),
        ] {
            message[name] = value.clone();
            let refused = without_variants(&message);
            assert_eq!(refused, Err(FrameErrorKind::CaseVariant), "{message}");
        }
    }
}

#[test]
fn case_variants_are_removed_from_results_and_errors_at_every_depth() {
    let given = result(&json!({
        "Content": [{"type": "text", "text": "other"}], "IsError": true, "ResultType": "input_required",
        "InputRequests": {"k": {"method": "elicitation/create"}}, "requeststate": "s", "StructuredContent": {},
        "content": [
            {"type": "text", "text": "a", "Text": "b", "TYPE": "image", "annotations": {"priority": 1, "Priority": 0}},
            {"type": "resource", "resource": {"uri": "memo:a", "URI": "memo:b", "text": "t", "Blob": "AA=="}},
            {"type": "resource_link", "uri": "memo:a", "name": "n", "icons": [{"src": "https://a", "Src": "https://b"}]},
            {"type": "tool_result", "content": [{"type": "text", "text": "a", "TEXT": "b"}]},
        ],
        "messages": [{"role": "user", "Role": "assistant", "content": {"type": "text", "text": "a", "tex\u{74}S": 1, "Text": 2}}],
        "contents": [{"uri": "memo:a", "text": "t", "MimeType": "text/html"}],
        "completion": {"values": [], "Values": ["x"], "HASMORE": true},
        "result": {"content": [{"type": "text", "text": "a", "Text": "b"}], "ISERROR": true},
    }));
    let expected = result(&json!({
        "content": [
            {"type": "text", "text": "a", "annotations": {"priority": 1}},
            {"type": "resource", "resource": {"uri": "memo:a", "text": "t"}},
            {"type": "resource_link", "uri": "memo:a", "name": "n", "icons": [{"src": "https://a"}]},
            {"type": "tool_result", "content": [{"type": "text", "text": "a"}]},
        ],
        "messages": [{"role": "user", "content": {"type": "text", "text": "a", "textS": 1}}],
        "contents": [{"uri": "memo:a", "text": "t"}],
        "completion": {"values": []},
        "result": {"content": [{"type": "text", "text": "a"}]},
    }));
    assert_eq!(without_variants(&given), Ok(expected));
    let error = |error: &Value| json!({"jsonrpc": "2.0", "id": 1, "error": error});
    let given = error(
        &json!({"code": 1, "Code": -32042, "message": "m", "Message": "n", "DATA": {}, "x": 1}),
    );
    let expected = error(&json!({"code": 1, "message": "m", "x": 1}));
    assert_eq!(without_variants(&given), Ok(expected));
}

#[test]
fn case_variants_are_removed_from_notifications() {
    let given = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params":
        {"progressToken": 1, "progress": 1, "Progress": 9, "Total": 9, "MESSAGE": "m", "Vendor": 1}});
    let expected = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params":
        {"progressToken": 1, "progress": 1, "Vendor": 1}});
    assert_eq!(without_variants(&given), Ok(expected));
    let given = json!({"jsonrpc": "2.0", "method": "notifications/message", "params":
        {"level": "info", "data": {"Level": 1}, "Data": "other", "Logger": "other"}});
    let expected = json!({"jsonrpc": "2.0", "method": "notifications/message", "params":
        {"level": "info", "data": {"Level": 1}}});
    assert_eq!(without_variants(&given), Ok(expected));
}

#[test]
fn data_of_servers_and_unknown_members_stay() {
    let data = json!({"Content": 1, "content": {"Type": 1, "TYPE": 2}});
    let message = result(&json!({
        "content": [{"type": "text", "text": "a", "vendor": data, "_meta": data}],
        "structuredContent": data, "vendor": data, "Vendor": data, "_meta": {"v": data, "V": data},
    }));
    assert_eq!(without_variants(&message), Ok(message.clone()));
    let schema = json!({"type": "object", "properties": {"Type": {}, "type": {}, "TITLE": {"default": data}},
        "default": data, "examples": [data], "enum": [data], "const": data, "X-vendor": 1});
    let tool = json!({"name": "t", "inputSchema": schema, "_meta": data}).to_string();
    assert!(!contained_in(tool.as_bytes(), &TOOL));
}

#[test]
fn keywords_of_schemas_are_compared_at_every_depth() {
    let tool = json!({"name": "t", "inputSchema": {"type": "object", "Properties": {"b": {}}, "properties": {
        "Title": {"type": "string", "Description": "x", "items": {"ENUM": [1]}, "oneOf": [{"Const": 1}, true]},
    }, "$defs": {"Ref": {"$Ref": "#/x"}}}});
    let expected = json!({"name": "t", "inputSchema": {"type": "object", "properties": {
        "Title": {"type": "string", "items": {}, "oneOf": [{}, true]},
    }, "$defs": {"Ref": {}}}});
    let text = tool.to_string();
    let removed = removed(text.as_bytes(), &TOOL).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&removed).unwrap(), expected);
}

#[test]
fn requests_with_case_variants_are_recognized() {
    for (method, params) in [
        ("elicitation/create", json!({"message": "m", "Mode": "url"})),
        (
            "elicitation/create",
            json!({"requestedSchema": {"Properties": {}}}),
        ),
        (
            "elicitation/create",
            json!({"requestedSchema": {"properties": {"a": {"Type": "x"}}}}),
        ),
        (
            "sampling/createMessage",
            json!({"messages": [{"Role": "user"}]}),
        ),
        (
            "sampling/createMessage",
            json!({"messages": [{"content": [{"Text": "a"}]}]}),
        ),
        ("sampling/createMessage", json!({"Tools": []})),
        (
            "sampling/createMessage",
            json!({"tools": [{"InputSchema": {}}]}),
        ),
        (
            "sampling/createMessage",
            json!({"_meta": {"ProgressToken": 1}}),
        ),
        ("roots/list", json!({"_META": {}})),
    ] {
        let kind = of_params(method).unwrap();
        assert!(
            contained_in(params.to_string().as_bytes(), kind),
            "{params}"
        );
    }
    let form = json!({"message": "m", "requestedSchema": {"properties": {"Mode": {"type": "string"}}}, "X": 1});
    let kind = of_params("elicitation/create").unwrap();
    assert!(!contained_in(form.to_string().as_bytes(), kind));
}

#[test]
fn an_object_with_a_case_variant_and_a_repeated_member_is_refused() {
    let text = br#"{"content":[{"type":"text","Type":"image","text":"a","text":"b"}]}"#;
    assert_eq!(removed(text, &RESULT), Err(FrameErrorKind::Duplicate));
    let alone = br#"{"content":[{"type":"text","text":"a","text":"b"}]}"#;
    assert_eq!(removed(alone, &RESULT), Ok(Cow::Borrowed(&alone[..])));
}
