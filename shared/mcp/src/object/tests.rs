//! Tests of looking into objects.

use serde_json::{Value, json};

use super::*;

#[test]
fn rebuilding_keeps_replaces_and_adds() {
    let object = br#"{ "a" : {"x":1}, "\u0062": 2, "c":3 }"#;
    let out = rebuild(object, |name| name != "c", &[("b", b"9"), ("d\"", b"[]")]);
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value, json!({ "a": { "x": 1 }, "b": 9, "d\"": [] }));
    assert_eq!(rebuild(b"{}", |_| true, &[]), b"{}");
    assert_eq!(get(object, "b"), Some(&b"2"[..]));
    assert_eq!(get(object, "x"), None);
}

#[test]
fn of_what_is_no_proper_object_there_are_no_members() {
    for bad in ["", "[1]", "{\"a\":1,\"a\":2}", "{\"a\":1} x", "{\"a\""] {
        assert_eq!(members(bad.as_bytes()).count(), 0, "{bad}");
    }
}

#[test]
fn elements_stand_where_they_were_written() {
    let array = br#"[ 1, {"a":[2]} ,"x]"]"#;
    let spans = elements(array);
    let read: Vec<&[u8]> = spans.iter().map(|span| span.of(array)).collect();
    assert_eq!(read, [&b"1"[..], br#"{"a":[2]}"#, br#""x]""#]);
    for bad in ["", "{}", "[1", "7"] {
        assert_eq!(elements(bad.as_bytes()), [], "{bad}");
    }
}

#[test]
fn a_value_is_one_value_read_strictly() {
    for good in ["1", " \"a\"\n", "{\"a\":[null]}", "true"] {
        assert!(is_value(good), "{good}");
    }
    for bad in ["", " ", "a", "1 2", "{\"a\":1", "1,\"b\":2"] {
        assert!(!is_value(bad), "{bad}");
    }
}
