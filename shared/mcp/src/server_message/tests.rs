//! Tests of the scanner for server messages.

use serde_json::Value;

use super::*;

fn read(text: &str) -> Result<ServerMessage<'_>, FrameErrorKind> {
    scan(text.as_bytes(), &FrameLimits::SERVER_MESSAGE).map_err(|error| error.reason)
}

#[test]
fn the_parts_of_a_result_are_found() {
    let text = r#"{"jsonrpc":"2.0","id":5,"result":{"content":[{"type":"text","text":"\"isError\":true"}],
        "isError":true,"structuredContent":[1],"resultType":"complete","_meta":{"a":1},"nextCursor":""}}"#;
    let answer = read(text).unwrap();
    let ServerMessageBody::Result(part) = &answer.body else {
        panic!("not a result")
    };
    assert!(answer.is_final() && part.is_error);
    assert_eq!(part.result_type.as_ref().unwrap().as_str(), "complete");
    assert_eq!(part.next_cursor.as_ref().unwrap().as_str(), "");
    assert!(!part.structured.unwrap().1);
    assert_eq!(
        answer.slice(part.meta.as_ref().unwrap().span),
        br#"{"a":1}"#
    );
}

#[test]
fn a_null_member_reads_as_absent() {
    let text = r#"{"jsonrpc":"2.0","id":5,"result":{"nextCursor":null,"requestState":null,"inputRequests":null,
        "isError":null,"content":[]}}"#;
    let ServerMessageBody::Result(part) = read(text).unwrap().body else {
        panic!("not a result")
    };
    assert_eq!(part.mistyped, None);
    assert!(part.next_cursor.is_none() && part.request_state.is_none());
    assert!(part.input_requests.is_none() && !part.is_error);
    let text =
        r#"{"jsonrpc":"2.0","id":5,"result":{"_meta":null,"resultType":null,"content":null}}"#;
    let ServerMessageBody::Result(part) = read(text).unwrap().body else {
        panic!("not a result")
    };
    assert_eq!(part.mistyped, None);
    assert!(part.meta.is_none() && part.result_type.is_none());
    assert_eq!(part.null_members, ["_meta", "resultType", "content"]);
    for text in [
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"_meta":null}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
    ] {
        assert!(read(text).is_ok(), "{text}");
    }
    // Clients are held to the schema.
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":null}}"#;
    assert!(crate::envelope::parse(request, &FrameLimits::REQUEST).is_err());
}

#[test]
fn an_unpaired_surrogate_does_not_cost_the_whole_message() {
    let text = r#"{"jsonrpc":"2.0","id":5,"result":{"content":[{"type":"text","text":"a\ud83d b"}],"x":1e999}}"#;
    let ServerMessageBody::Result(part) = read(text).unwrap().body else {
        panic!("not a result")
    };
    assert_eq!(part.mistyped, None);
    let error =
        r#"{"code":-32000,"message":"a\ud83d\ude00 \ud83d \\ud83d \udc00","data":"\ud800"}"#;
    let error = crate::RpcError::parse(error.as_bytes()).unwrap();
    assert_eq!(error.message, "a\u{1f600} \u{fffd} \\ud83d \u{fffd}");
    assert_eq!(error.data, Some("\u{fffd}".into()));
}

#[test]
fn message_kinds_are_distinguished() {
    let body = |text| read(text).unwrap().body;
    assert!(
        matches!(body(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t"}}"#),
        ServerMessageBody::Notification { params: Some(params), .. } if params.progress_token.unwrap().raw == "\"t\"")
    );
    assert!(matches!(
        body(r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#),
        ServerMessageBody::Request { .. }
    ));
    assert!(matches!(
        body(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#),
        ServerMessageBody::Error(_)
    ));
    assert_eq!(
        read(r#"{"jsonrpc":"2.0","result":{}}"#).unwrap_err(),
        FrameErrorKind::Id
    );
    assert_eq!(
        read(r#"{"jsonrpc":"2.0","id":1,"result":3}"#).unwrap_err(),
        FrameErrorKind::Shape
    );
    assert_eq!(
        read(r#"{"jsonrpc":"2.0","id":1,"result":{"a":1,"\u0061":2}}"#).unwrap_err(),
        FrameErrorKind::Duplicate
    );
    assert_eq!(read("[]").unwrap_err(), FrameErrorKind::Batch);
}

#[test]
fn the_id_is_replaced_or_inserted() {
    let cases = [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id": null,"error":{"code":1,"message":"x"}}"#,
    ];
    for text in cases {
        let answer = read(text).unwrap();
        let out = crate::splice(text.as_bytes(), vec![answer.with_id("\"c\"")]).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["id"], "c", "{text}");
        assert!(read(std::str::from_utf8(&out).unwrap()).is_ok());
    }
}

#[test]
fn a_one_megabyte_result_is_unchanged() {
    let payload = "héllo \\\" \\u00e9 ".repeat(70_000);
    let text =
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"text":"{payload}"}}]}}}}"#);
    let source = Bytes::from(text.clone());
    let out = replace_id(&source, "77", &FrameLimits::SERVER_MESSAGE).unwrap();
    assert_eq!(out, text.replacen("\"id\":1", "\"id\":77", 1));
}
