//! Tests with frames that two parsers could read differently (row OV-05 of the threat table).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{super::*, refused};

fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

/// Returns frames that contain an invalid value.
fn with_odd_values() -> Vec<String> {
    let with = |value: &str| call(&format!(r#"{{"name":"a","arguments":{{"x":{value}}}}}"#));
    [
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "Infinity",
        "-Infinity",
        "NaN",
        "nan",
        "1e999",
        "-1e999",
        "True",
        "nul",
        "undefined",
        "'x'",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800x\"",
        "\"\t\"",
        "\"\n\"",
        "\"\u{0}\"",
        "\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{,}",
        "1//x",
        "1/*x*/",
        "#",
        "--1",
        "1..2",
        "1\u{a0}",
        "\u{feff}1",
        "\u{b}1",
    ]
    .map(with)
    .to_vec()
}

/// Returns frames with members that are duplicated, differ only in case, or have the wrong type.
fn with_odd_members() -> Vec<String> {
    [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","na\u006de":"b"}"#,
        r#"{"name":"a","Name":"b"}"#,
        r#"{"name":"a","NAME":"b"}"#,
        r#"{"uri":"a","uri":"a"}"#,
        r#"{"name":"a","argument\u017f":{},"arguments":{}}"#,
        r#"{"name":"a","_meta":{"progressToken":1,"progressToken":2}}"#,
        r#"{"name":"a","_meta":{"progressToken":1,"progresstoken":2}}"#,
        r#"{"name":"a","_meta":[]}"#,
        r#"[]"#,
        "null",
    ]
    .map(call)
    .to_vec()
}

/// More than sixty frames, each of which is rejected.
#[test]
fn ov_05_ambiguous_frames_are_rejected() {
    let mut frames = with_odd_values();
    frames.extend(with_odd_members());
    let good = call(r#"{"name":"a"}"#);
    frames.extend([
        String::new(),
        format!("\u{feff}{good}"),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good}\0"),
        format!("{good},"),
        format!("\u{1e}{good}"),
        good.replace("\"2.0\"", "2.0"),
        good.replace("\"2.0\"", "\"2\""),
        good.replace("\"id\":1", "\"id\":null"),
        good.replace("\"id\":1", "\"id\":1.0"),
        good.replace("\"id\":1", "\"id\":1e0"),
        good.replace("\"id\":1", "\"id\":[1]"),
        good.replace("\"id\":1", "\"id\":1,\"ID\":2"),
        good.replace("\"id\":1", "\"id\":1,\"\\u0069d\":2"),
        good.replace("\"id\":1", &format!("\"id\":{}", "9".repeat(600))),
        good.replace("\"method\"", "\"method\":\"ping\",\"method\""),
        good.replace("\"method\"", "\"Method\":\"ping\",\"method\""),
        good.replace("\"params\"", "\"params\":{\"name\":\"b\"},\"params\""),
        good.replace("\"params\"", "\"result\":{},\"params\""),
    ]);
    assert!(frames.len() >= 60);
    assert_eq!(
        parse(good.as_bytes(), &FrameLimits::REQUEST).map(|_| ()),
        Ok(())
    );
    for frame in &frames {
        let _reason = refused(frame);
    }
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let wide: Vec<u8> = good.encode_utf16().flat_map(order).collect();
        let _reason = refused(wide);
    }
    for bad in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
    ] {
        let bytes = good.as_bytes().iter().flat_map(|byte| {
            let bytes = if *byte == b'a' {
                bad
            } else {
                std::slice::from_ref(byte)
            };
            bytes.iter().copied()
        });
        let _reason = refused(bytes.collect::<Vec<u8>>());
    }
}

/// Members of an object in order, duplicates included.
struct JsonMembers(Vec<(String, JsonTree)>);

/// JSON value that keeps duplicate members.
#[derive(Debug, Clone, PartialEq)]
enum JsonTree {
    Object(Vec<(String, JsonTree)>),
    Other(String),
}

impl<'de> Deserialize<'de> for JsonMembers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = JsonMembers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonMembers, A::Error> {
                let mut all = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    all.push((name, JsonTree::read(value.get())));
                }
                Ok(JsonMembers(all))
            }
        }
        from.deserialize_map(MembersVisitor)
    }
}

impl JsonTree {
    fn read(text: &str) -> Self {
        match serde_json::from_str::<JsonMembers>(text) {
            Ok(JsonMembers(all)) => Self::Object(all),
            Err(_other) => {
                let text_value = serde_json::from_str::<String>(text);
                Self::Other(text_value.unwrap_or_else(|_| text.to_owned()))
            }
        }
    }

    /// Returns a member as other parsers find it: `folds` ignores case, `first` selects the first or the last
    /// duplicate.
    fn get(&self, name: &str, folds: bool, first: bool) -> Option<&Self> {
        let Self::Object(all) = self else { return None };
        let is = |known: &&(String, Self)| {
            known.0 == name || (folds && known.0.to_lowercase() == name.to_lowercase())
        };
        let found = if first {
            all.iter().find(is)
        } else {
            all.iter().rfind(is)
        };
        found.map(|(_, value)| value)
    }
}

/// Leaves out, doubles, or replaces each byte of a frame by two dozen others. Every accepted variant is read the same
/// by parsers that keep the first duplicate, keep the last, or ignore case (as the standard parsers of Python and Go
/// do).
#[test]
fn ov_05_accepted_frames_read_the_same_in_every_reader() {
    let good = r#"{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"ab","Nbme":"c","arguments":{"name":1}}}"#;
    let others = b"\"\\{}[]:,nNaAmMeE10.-u \n\0\xff";
    let mut mutants = Vec::new();
    for at in 0..good.len() {
        let (before, after) = good.as_bytes().split_at(at);
        let mutant = |middle: &[u8]| [before, middle, &after[1..]].concat();
        mutants.push(mutant(b""));
        mutants.push(mutant(&[after[0]; 2]));
        mutants.extend(others.iter().map(|byte| mutant(&[*byte])));
    }
    let mut accepted = 0;
    for bytes in &mutants {
        let Ok(envelope) = parse(bytes, &FrameLimits::REQUEST) else {
            continue;
        };
        accepted += 1;
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_ok(),
            "{text}"
        );
        let root = JsonTree::read(text);
        for (folds, first) in [(false, false), (false, true), (true, false), (true, true)] {
            let of = |tree: Option<&JsonTree>, name: &str| {
                tree.and_then(|tree| tree.get(name, folds, first)).cloned()
            };
            let other = |text: Option<&str>| text.map(|text| JsonTree::Other(text.to_owned()));
            let root = Some(&root);
            assert_eq!(
                of(root, "method"),
                other(Some(envelope.method()).filter(|m| !m.is_empty())),
                "{text}"
            );
            assert_eq!(of(root, "id"), other(envelope.raw_id()), "{text}");
            let params = of(root, "params");
            let name = envelope.mcp_name().map(crate::JsonString::as_str);
            if name.is_some() {
                assert_eq!(of(params.as_ref(), "name"), other(name), "{text}");
            }
        }
    }
    assert!(accepted > 100, "{accepted} of {}", mutants.len());
}
