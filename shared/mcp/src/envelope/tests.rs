//! Tests of the frame parser: rejected frames, extracted fields, and edits that change nothing else.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{splice, text::quote};

mod hostile;

fn read(text: &str) -> Result<Envelope<'_>, FrameError> {
    parse(text.as_bytes(), &Limits::REQUEST)
}

fn refused(text: impl AsRef<[u8]>) -> Reason {
    parse(text.as_ref(), &Limits::REQUEST)
        .expect_err("must be refused")
        .reason
}

#[test]
fn finds_what_routing_needs() {
    let text = r#"{ "jsonrpc":"2.0","id": "a\u0062", "method":"tools/call",
        "params":{"name":"s__echo","arguments":{"name":"no","a":[1,{"id":9}]},
        "_meta":{"progressToken":7,"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{"x":1},"vendor/x":"keep","traceparent":"00-1"}}}"#;
    let envelope = read(text).unwrap();
    assert_eq!(envelope.kind, Kind::Request);
    assert_eq!(envelope.raw_id(), Some(r#""a\u0062""#));
    assert_eq!(envelope.method(), "tools/call");
    let params = envelope.params.as_ref().unwrap();
    assert_eq!(params.name.as_ref().unwrap().as_str(), "s__echo");
    assert_eq!(envelope.named().unwrap().as_str(), "s__echo");
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
fn finds_what_a_completion_is_for() {
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
        Reason::Duplicate
    );
    assert_eq!(
        refused(ask(r#"{"name":"a","Name":"b"}"#)),
        Reason::LookAlike
    );
}

#[test]
fn knows_the_four_kinds() {
    let kind = |text| read(text).unwrap().kind;
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        Kind::Request
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","method":"x"}"#),
        Kind::Notification
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Kind::Response
    );
    assert_eq!(
        kind(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#),
        Kind::Response
    );
    for text in [
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":[]}"#,
    ] {
        assert_eq!(refused(text), Reason::Shape, "{text}");
    }
    assert_eq!(refused(r#"{"jsonrpc":"2.0","result":{}}"#), Reason::Id);
}

#[test]
fn refuses_every_frame_that_two_readers_could_read_differently() {
    let cases: [(&str, Reason); 31] = [
        ("", Reason::Syntax),
        ("  ", Reason::Syntax),
        ("\u{feff}{}", Reason::ByteOrderMark),
        ("[]", Reason::Batch),
        (r#" [{"jsonrpc":"2.0","method":"x"}]"#, Reason::Batch),
        ("1", Reason::NotAnObject),
        ("\"x\"", Reason::NotAnObject),
        ("null", Reason::NotAnObject),
        ("NaN", Reason::Syntax),
        ("{}", Reason::Version),
        (r#"{"jsonrpc":"1.0","method":"x"}"#, Reason::Version),
        (r#"{"jsonrpc":2.0,"method":"x"}"#, Reason::Version),
        (r#"{"jsonrpc":"2.0","method":"x"} {}"#, Reason::Trailing),
        (r#"{"jsonrpc":"2.0","method":"x"}x"#, Reason::Trailing),
        (r#"{"jsonrpc":"2.0","method":"x",}"#, Reason::Syntax),
        (
            r#"{"jsonrpc":"2.0","method":"x","method":"y"}"#,
            Reason::Duplicate,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","m\u0065thod":"y"}"#,
            Reason::Duplicate,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","z":1,"z":1}"#,
            Reason::Duplicate,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"name":"a","name":"b"}}"#,
            Reason::Duplicate,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"name":"a","na\u006de":"b"}}"#,
            Reason::Duplicate,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"a":1,"a":1}}}"#,
            Reason::Duplicate,
        ),
        (r#"{"jsonrpc":"2.0","method":1}"#, Reason::Method),
        (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, Reason::Id),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"x"}"#, Reason::Id),
        (r#"{"jsonrpc":"2.0","id":1e2,"method":"x"}"#, Reason::Id),
        (r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#, Reason::Id),
        (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, Reason::Id),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":[]}"#,
            Reason::Params,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":null}}"#,
            Reason::Params,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"\ud800"}"#,
            Reason::LoneSurrogate,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"a":1e999}}"#,
            Reason::Number,
        ),
    ];
    for (text, reason) in cases {
        assert_eq!(refused(text), reason, "{text}");
    }
    assert_eq!(
        refused(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}"),
        Reason::NotUtf8
    );
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(refused(utf16), Reason::Syntax);
}

#[test]
fn recognises_names_however_they_are_escaped() {
    let text = r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"tools/call","params":{"na\u006de":"x"}}"#;
    let envelope = read(text).unwrap();
    assert_eq!(envelope.method(), "tools/call");
    assert_eq!(envelope.named().unwrap().as_str(), "x");
}

#[test]
fn keeps_ids_of_any_size_as_written() {
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
    assert_eq!(refused(long), Reason::Id);
}

#[test]
fn an_error_carries_the_id_that_was_read_before_it() {
    let error = read(r#"{"jsonrpc":"2.0","id":7,"method":1}"#).unwrap_err();
    assert_eq!(error.id.as_deref(), Some("7"));
    assert_eq!(error.to_rpc().code, crate::error::codes::INVALID_REQUEST);
    let error = read(r#"{"method":1,"id":7}"#).unwrap_err();
    assert_eq!(error.id, None);
}

#[test]
fn bounds_hold_at_the_limit_and_not_beyond() {
    let text = r#"{"jsonrpc":"2.0","method":"x"}"#;
    let limits = |bytes| Limits {
        bytes,
        ..Limits::REQUEST
    };
    assert!(parse(text.as_bytes(), &limits(text.len())).is_ok());
    let error = parse(text.as_bytes(), &limits(text.len() - 1)).unwrap_err();
    assert_eq!(error.reason, Reason::TooLarge);
    let crowd = |n: usize| {
        let members: Vec<String> = (0..n).map(|n| format!("\"m{n}\":0")).collect();
        format!(
            r#"{{"jsonrpc":"2.0","method":"x","params":{{{}}}}}"#,
            members.join(",")
        )
    };
    assert!(read(&crowd(128)).is_ok());
    assert_eq!(refused(crowd(129)), Reason::TooManyMembers);
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
    fn splicing_changes_what_it_names_and_nothing_else(
        id in any::<i64>(), name in any::<String>(), new in any::<String>(), extra in any::<String>(),
    ) {
        let text = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": name, "arguments": { "name": extra }, "z": [extra] },
        });
        let source = serde_json::to_string_pretty(&text).unwrap();
        let envelope = parse(source.as_bytes(), &Limits::REQUEST).unwrap();
        prop_assert_eq!(splice(source.as_bytes(), Vec::new()).unwrap(), source.as_bytes());
        let span = envelope.named().unwrap().span;
        let edits = vec![
            crate::Edit::replace(span, quote(&new).into_bytes()),
            envelope.with_id(&b"\"mine\""[..]).unwrap(),
        ];
        let out = splice(source.as_bytes(), edits).unwrap();
        let mut wanted = text;
        wanted["params"]["name"] = Value::from(new);
        wanted["id"] = Value::from("mine");
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), wanted);
    }

    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _outcome = parse(&bytes, &Limits::REQUEST);
    }

    #[test]
    fn what_is_accepted_reads_the_same_to_others(
        name in "[a-z\\\\\"u0-6d]{0,8}", id in "[0-9\"a-]{1,6}", tail in "[ \\]}{,\"a:]{0,4}",
    ) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}"}}}}{tail}"#);
        if let Ok(envelope) = parse(text.as_bytes(), &Limits::REQUEST) {
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(envelope.named().unwrap().as_str(), value["params"]["name"].as_str().unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(envelope.raw_id().unwrap()).unwrap(), value["id"].clone());
        }
    }
}
