//! Tests of access to members and of rebuilding.

use serde_json::{Value, json};

use super::*;

#[test]
fn rebuilding_keeps_replaces_and_adds_members() {
    let object = br#"{ "a" : {"x":1}, "\u0062": 2, "c":3 }"#;
    let out = rebuild(object, |name| name != "c", &[("b", b"9"), ("d\"", b"[]")]);
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value, json!({ "a": { "x": 1 }, "b": 9, "d\"": [] }));
    assert_eq!(rebuild(b"{}", |_| true, &[]), b"{}");
    assert_eq!(get(object, "b"), Some(&b"2"[..]));
    assert_eq!(get(object, "x"), None);
}

#[test]
fn the_first_member_of_a_name_is_found_among_the_first_members() {
    let object = br#" {"x": "name", "y": {"name": 1}, "n\u0061me" : "a\"b", "name": 2}"#;
    assert_eq!(first(object, "name", 3), Some(&br#""a\"b""#[..]));
    assert_eq!(first(object, "name", 2), None);
    assert_eq!(first(object, "z", 10), None);
    for other in ["", "[1]", "{}", "{\"name\"", "\"name\""] {
        assert_eq!(first(other.as_bytes(), "name", 10), None, "{other}");
    }
}

#[test]
fn an_invalid_object_has_no_members() {
    for bad in ["", "[1]", "{\"a\":1,\"a\":2}", "{\"a\":1} x", "{\"a\""] {
        assert_eq!(members(bad.as_bytes()).count(), 0, "{bad}");
    }
}

#[test]
fn a_duplicate_name_is_found_at_any_depth() {
    for plain in [
        "{}",
        "1",
        r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#,
        r#"{"a":1,"A":2,"\u00e1":3}"#,
    ] {
        assert!(!is_ambiguous(plain.as_bytes()), "{plain}");
    }
    for twice in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"b":[1,{"x":{"a":1,"c":2,"a":3}}]}"#,
        r#"{"":1,"":2}"#,
    ] {
        assert!(is_ambiguous(twice.as_bytes()), "{twice}");
    }
    let many = |count: usize, last: &str| {
        let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{},\"{last}\":1}}", members.join(","))
    };
    assert!(!is_ambiguous(many(1_000, "x").as_bytes()));
    assert!(is_ambiguous(many(1_000, "999").as_bytes()));
    assert!(
        is_ambiguous(many(70_000, "x").as_bytes()),
        "too many to say"
    );
}

#[test]
fn elements_keep_their_spans() {
    let array = br#"[ 1, {"a":[2]} ,"x]"]"#;
    let spans = elements(array);
    let read: Vec<&[u8]> = spans.iter().map(|span| span.of(array)).collect();
    assert_eq!(read, [&b"1"[..], br#"{"a":[2]}"#, br#""x]""#]);
    for bad in ["", "{}", "[1", "7"] {
        assert_eq!(elements(bad.as_bytes()), [], "{bad}");
    }
}

#[test]
fn a_value_is_exactly_one_strict_json_value() {
    for good in ["1", " \"a\"\n", "{\"a\":[null]}", "true"] {
        assert!(is_value(good), "{good}");
    }
    for bad in ["", " ", "a", "1 2", "{\"a\":1", "1,\"b\":2"] {
        assert!(!is_value(bad), "{bad}");
    }
}

#[test]
fn a_value_is_nested_to_a_limited_depth_and_has_no_duplicate_name_at_any_depth() {
    let nested = |depth: usize, inner: &str| {
        let inner = format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
        (
            inner.clone(),
            inner.replace('[', "{\"a\":").replace(']', "}"),
        )
    };
    let limit = usize::try_from(MAX_VALUE_DEPTH).unwrap();
    let (array, object) = nested(limit, "1");
    assert!(is_value(&array) && is_value(&object));
    for depth in [limit + 1, 512, 513, 4_000] {
        let (array, object) = nested(depth, "1");
        assert!(!is_value(&array) && !is_value(&object), "{depth}");
    }
    for depth in [0, 1, limit - 1, 600] {
        let (array, object) = nested(depth, r#"{"a":1,"\u0061":2}"#);
        assert!(!is_value(&array) && !is_value(&object), "{depth}");
    }
}
