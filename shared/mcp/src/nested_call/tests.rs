//! Tests that spans refer to the enclosing frame, and that ambiguous calls are rejected.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn at(source: &str, object: &str) -> ByteSpan {
    let start = source.find(object).unwrap();
    ByteSpan::new(start, start + object.len())
}

#[test]
fn spans_are_relative_to_the_whole_frame() {
    let inner = r#"{ "arguments" : {"a": 1.50, "name":"x"} , "n\u0061me":"git\u005f_get" }"#;
    let frame = format!(r#"{{"params":{{"arguments":{inner}}}}}"#);
    let nested = read(frame.as_bytes(), at(&frame, inner)).unwrap();
    let name = nested.name.unwrap();
    assert_eq!(name.as_str(), "git__get");
    assert_eq!(name.span.of(frame.as_bytes()), br#""git\u005f_get""#);
    let arguments = nested.arguments.unwrap();
    assert_eq!(
        arguments.of(frame.as_bytes()),
        br#"{"a": 1.50, "name":"x"}"#
    );
    assert_eq!((nested.mistyped, nested.unknown), (None, None));
}

#[test]
fn a_duplicate_name_is_rejected() {
    for twice in [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","n\u0061me":"b"}"#,
        r#"{"arguments":{},"arguments":{"x":1}}"#,
        "[]",
        "1",
        "",
        r#"{"name":"a"}{}"#,
    ] {
        let span = ByteSpan::new(0, twice.len());
        assert!(read(twice.as_bytes(), span).is_none(), "{twice}");
    }
    assert!(read(b"{}", ByteSpan::new(1, 9)).is_none());
}

#[test]
fn wrong_types_and_unknown_members_are_named() {
    let text = r#"{"name":1,"arguments":"{}","city":"Bern","x":2}"#;
    let nested = read(text.as_bytes(), ByteSpan::new(0, text.len())).unwrap();
    assert!(nested.name.is_none() && nested.arguments.is_none());
    assert_eq!(nested.mistyped, Some("name"));
    assert_eq!(nested.unknown.as_deref(), Some("city"));
}

proptest! {
    #[test]
    fn a_nested_call_keeps_its_bytes(name in ".{0,20}", key in ".{0,9}", text in ".{0,30}", pad in "[ \n\t]{0,4}") {
        let arguments = json!({ key: text }).to_string();
        let inner = format!(r#"{{{pad}"name":{pad}{},"arguments":{arguments}{pad}}}"#, json!(name));
        let frame = format!("{pad}{{\"é\":{inner}}}");
        let start = frame.find(&inner).unwrap();
        let nested = read(frame.as_bytes(), ByteSpan::new(start, start + inner.len())).unwrap();
        let called = nested.name.unwrap();
        prop_assert_eq!(called.as_str(), &name);
        let literal: Value = serde_json::from_slice(called.span.of(frame.as_bytes())).unwrap();
        prop_assert_eq!(literal, json!(name));
        prop_assert_eq!(nested.arguments.unwrap().of(frame.as_bytes()), arguments.as_bytes());
    }

    #[test]
    fn arbitrary_bytes_cause_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), start in 0..80usize, end in 0..80usize) {
        let _read = read(&bytes, ByteSpan::new(start, end));
    }
}
