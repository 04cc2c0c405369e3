//! Tests of the frame parser: rejected frames, extracted fields, and edits that change nothing else.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{splice, text::quote};

mod hostile;

fn read(text: &str) -> Result<Envelope<'_>, FrameError> {
    parse(text.as_bytes(), &FrameLimits::REQUEST)
}

fn refused(text: impl AsRef<[u8]>) -> FrameErrorKind {
    parse(text.as_ref(), &FrameLimits::REQUEST)
        .expect_err("must be refused")
        .reason
}

#[test]
fn the_envelope_exposes_the_routing_members() {
    let text = r#"{ "jsonrpc":"2.0","id": "a\u0062", "method":"tools/call",
        "params":{"name":"s__echo","arguments":{"name":"no","a":[1,{"id":9}]},
        "_meta":{"progressToken":7,"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{"x":1},"vendor/x":"keep","traceparent":"00-1"}}}"#;
    let envelope = read(text).unwrap();
    assert_eq!(envelope.kind, MessageKind::Request);
    assert_eq!(envelope.raw_id(), Some(r#""a\u0062""#));
    assert_eq!(envelope.method(), "tools/call");
    let params = envelope.params.as_ref().unwrap();
    assert_eq!(params.name.as_ref().unwrap().as_str(), "s__echo");
    assert_eq!(envelope.mcp_name().unwrap().as_str(), "s__echo");
    let arguments = envelope.slice(params.arguments.unwrap());
    assert_eq!(arguments, br#"{"name":"no","a":[1,{"id":9}]}"#);
    let meta = envelope.meta().unwrap();
    assert_eq!(meta.progress_token.unwrap().raw, "7");
    assert_eq!(
        meta.protocol_version.as_ref().unwrap().as_str(),
        "2026-07-28"
    );
    assert_eq!(
        envelope.slice(meta.client_capabilities.unwrap()),
        br#"{"x":1}"#
    );
    assert_eq!(meta.traceparent.as_ref().unwrap().as_str(), "00-1");
    assert_eq!(params.mistyped, None);
}

#[test]
fn the_reference_of_a_completion_is_found() {
    let ask = |reference: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{"ref":{reference},"argument":{{"name":"a","value":""}}}}}}"#
        )
    };
    let text = ask(r#"{"type":"ref/prompt","name":"s__p\u0031","title":"no"}"#);
    let envelope = read(&text).unwrap();
    let params = envelope.params.as_ref().unwrap();
    let reference = params.reference.as_ref().unwrap();
    assert_eq!(reference.kind.as_ref().unwrap().as_str(), "ref/prompt");
    let name = reference.name.as_ref().unwrap();
    assert_eq!(name.as_str(), "s__p1");
    assert_eq!(envelope.slice(name.span), br#""s__p\u0031""#);
    let argument = envelope.slice(params.argument.unwrap());
    assert_eq!(argument, br#"{"name":"a","value":""}"#);
    for (odd, member) in [("7", Some("ref")), ("[]", Some("ref"))] {
        let text = ask(odd);
        let params = read(&text).unwrap().params.unwrap();
        assert!(params.reference.is_none());
        assert_eq!(params.mistyped, member);
    }
    let text = ask(r#"{"type":1,"uri":"a:b"}"#);
    let params = read(&text).unwrap().params.unwrap();
    assert_eq!(params.reference.unwrap().mistyped, Some("ref.type"));
    assert_eq!(
        refused(ask(r#"{"name":"a","name":"b"}"#)),
        FrameErrorKind::Duplicate
    );
    assert_eq!(
        refused(ask(r#"{"name":"a","Name":"b"}"#)),
        FrameErrorKind::CaseVariant
    );
}

#[test]
fn the_four_message_kinds_are_distinguished() {
    let kind = |text| read(text).unwrap().kind;
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        MessageKind::Request
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","method":"x"}"#),
        MessageKind::Notification
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        MessageKind::Response
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#),
        MessageKind::Response
    );
    for text in [
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":[]}"#,
    ] {
        assert_eq!(refused(text), FrameErrorKind::Shape, "{text}");
    }
    assert_eq!(
        refused(r#"{"jsonrpc":"2.0","result":{}}"#),
        FrameErrorKind::Id
    );
}

/// Frames that two parsers could read differently, with the reason of their rejection.
const AMBIGUOUS: [(&str, FrameErrorKind); 31] = [
    ("", FrameErrorKind::Syntax),
    ("  ", FrameErrorKind::Syntax),
    ("\u{feff}{}", FrameErrorKind::ByteOrderMark),
    ("[]", FrameErrorKind::Batch),
    (
        r#" [{"jsonrpc":"2.0","method":"x"}]"#,
        FrameErrorKind::Batch,
    ),
    ("1", FrameErrorKind::NotAnObject),
    ("\"x\"", FrameErrorKind::NotAnObject),
    ("null", FrameErrorKind::NotAnObject),
    ("NaN", FrameErrorKind::Syntax),
    ("{}", FrameErrorKind::Version),
    (r#"{"jsonrpc":"1.0","method":"x"}"#, FrameErrorKind::Version),
    (r#"{"jsonrpc":2.0,"method":"x"}"#, FrameErrorKind::Version),
    (
        r#"{"jsonrpc":"2.0","method":"x"} {}"#,
        FrameErrorKind::Trailing,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x"}x"#,
        FrameErrorKind::Trailing,
    ),
    (r#"{"jsonrpc":"2.0","method":"x",}"#, FrameErrorKind::Syntax),
    (
        r#"{"jsonrpc":"2.0","method":"x","method":"y"}"#,
        FrameErrorKind::Duplicate,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","m\u0065thod":"y"}"#,
        FrameErrorKind::Duplicate,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","z":1,"z":1}"#,
        FrameErrorKind::Duplicate,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","params":{"name":"a","name":"b"}}"#,
        FrameErrorKind::Duplicate,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","params":{"name":"a","na\u006de":"b"}}"#,
        FrameErrorKind::Duplicate,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"a":1,"a":1}}}"#,
        FrameErrorKind::Duplicate,
    ),
    (r#"{"jsonrpc":"2.0","method":1}"#, FrameErrorKind::Method),
    (
        r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
        FrameErrorKind::Id,
    ),
    (
        r#"{"jsonrpc":"2.0","id":1.0,"method":"x"}"#,
        FrameErrorKind::Id,
    ),
    (
        r#"{"jsonrpc":"2.0","id":1e2,"method":"x"}"#,
        FrameErrorKind::Id,
    ),
    (
        r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#,
        FrameErrorKind::Id,
    ),
    (
        r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#,
        FrameErrorKind::Id,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","params":[]}"#,
        FrameErrorKind::Params,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":null}}"#,
        FrameErrorKind::Params,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"\ud800"}"#,
        FrameErrorKind::LoneSurrogate,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"x","params":{"a":1e999}}"#,
        FrameErrorKind::Number,
    ),
];

#[test]
fn ambiguous_frames_are_rejected() {
    for (text, reason) in AMBIGUOUS {
        assert_eq!(refused(text), reason, "{text}");
    }
    assert_eq!(
        refused(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}"),
        FrameErrorKind::NotUtf8
    );
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(refused(utf16), FrameErrorKind::Syntax);
}

#[test]
fn escaped_member_names_are_recognised() {
    let text = r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"tools/call","params":{"na\u006de":"x"}}"#;
    let envelope = read(text).unwrap();
    assert_eq!(envelope.method(), "tools/call");
    assert_eq!(envelope.mcp_name().unwrap().as_str(), "x");
}

#[test]
fn ids_of_any_size_keep_their_bytes() {
    for id in [
        "9007199254740993",
        "123456789012345678901234567890",
        "-0",
        "\"1\"",
        "\"\"",
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#);
        assert_eq!(read(&text).unwrap().raw_id(), Some(id));
    }
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#,
        "x".repeat(600)
    );
    assert_eq!(refused(long), FrameErrorKind::IdTooLong);
}

#[test]
fn an_id_that_is_too_long_is_refused_for_its_length() {
    let words = |length: usize| {
        let id = "x".repeat(length);
        let text = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"x"}}"#);
        read(&text).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(words(510), Ok(()), "512 bytes with its quotes");
    for length in [511, 5_000] {
        let told = words(length).unwrap_err();
        assert!(told.contains("`id` must have at most 512 bytes"), "{told}");
    }
}

#[test]
fn an_error_carries_the_id_read_before_it() {
    let error = read(r#"{"jsonrpc":"2.0","id":7,"method":1}"#).unwrap_err();
    assert_eq!(error.id.as_deref(), Some("7"));
    assert_eq!(error.to_rpc().code, crate::error::codes::INVALID_REQUEST);
    let error = read(r#"{"method":1,"id":7}"#).unwrap_err();
    assert_eq!(error.id, None);
}

#[test]
fn values_at_a_limit_are_accepted_and_above_rejected() {
    let text = r#"{"jsonrpc":"2.0","method":"x"}"#;
    let limits = |bytes| FrameLimits {
        bytes,
        ..FrameLimits::REQUEST
    };
    assert!(parse(text.as_bytes(), &limits(text.len())).is_ok());
    let error = parse(text.as_bytes(), &limits(text.len() - 1)).unwrap_err();
    assert_eq!(error.reason, FrameErrorKind::TooLarge);
    let crowd = |n: usize| {
        let members: Vec<String> = (0..n).map(|n| format!("\"m{n}\":0")).collect();
        format!(
            r#"{{"jsonrpc":"2.0","method":"x","params":{{{}}}}}"#,
            members.join(",")
        )
    };
    assert!(read(&crowd(128)).is_ok());
    assert_eq!(refused(crowd(129)), FrameErrorKind::TooManyMembers);
}

#[test]
fn a_member_of_the_wrong_type_reads_as_absent_and_is_named() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":3,"arguments":[],
        "_meta":{"progressToken":1.5}}}"#;
    let envelope = read(text).unwrap();
    let params = envelope.params.as_ref().unwrap();
    assert_eq!((params.name.as_ref(), params.arguments), (None, None));
    assert_eq!(params.mistyped, Some("name"));
    assert_eq!(envelope.meta().unwrap().mistyped, Some("progressToken"));
}

#[test]
fn meta_is_replaced_or_inserted_wherever_it_belongs() {
    let cases = [
        r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{ }}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"old":1},"a":1}}"#,
    ];
    for text in cases {
        let envelope = read(text).unwrap();
        let out = splice(text.as_bytes(), vec![envelope.with_meta(br#"{"new":2}"#)]).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["params"]["_meta"], json!({ "new": 2 }), "{text}");
        assert_eq!(value["params"]["a"].is_null(), !text.contains("\"a\""));
    }
}

proptest! {
    #[test]
    fn splicing_changes_only_the_named_members(
        id in any::<i64>(), name in any::<String>(), new in any::<String>(), extra in any::<String>(),
    ) {
        let text = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": name, "arguments": { "name": extra }, "z": [extra] },
        });
        let source = serde_json::to_string_pretty(&text).unwrap();
        let envelope = parse(source.as_bytes(), &FrameLimits::REQUEST).unwrap();
        prop_assert_eq!(splice(source.as_bytes(), Vec::new()).unwrap(), source.as_bytes());
        let span = envelope.mcp_name().unwrap().span;
        let edits = vec![
            crate::ByteEdit::replace(span, quote(&new).into_bytes()),
            envelope.with_id(&b"\"mine\""[..]).unwrap(),
        ];
        let out = splice(source.as_bytes(), edits).unwrap();
        let mut wanted = text;
        wanted["params"]["name"] = Value::from(new);
        wanted["id"] = Value::from("mine");
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), wanted);
    }

    #[test]
    fn arbitrary_bytes_cause_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _outcome = parse(&bytes, &FrameLimits::REQUEST);
    }

    #[test]
    fn accepted_frames_read_the_same_in_serde_json(
        name in "[a-z\\\\\"u0-6d]{0,8}", id in "[0-9\"a-]{1,6}", tail in "[ \\]}{,\"a:]{0,4}",
    ) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}"}}}}{tail}"#);
        if let Ok(envelope) = parse(text.as_bytes(), &FrameLimits::REQUEST) {
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(envelope.mcp_name().unwrap().as_str(), value["params"]["name"].as_str().unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(envelope.raw_id().unwrap()).unwrap(), value["id"].clone());
        }
    }
}
