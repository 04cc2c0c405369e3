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
