//! Tests of the scanner: it accepts the same JSON as `serde_json`, but rejects ambiguous input.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn scan(text: &str) -> Result<(ByteSpan, ValueType), FrameErrorKind> {
    let mut scanner = JsonScanner::within(text, 0, &FrameLimits::REQUEST);
    let found = scanner.value().map_err(|fault| fault.reason)?;
    scanner.end().map_err(|fault| fault.reason)?;
    Ok(found)
}

fn agrees(text: &str) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_str::<Value>(text);
    let ours = scan(text.trim_start_matches([' ', '\n', '\r', '\t']));
    match (&ours, &theirs) {
        (Ok(_), Ok(_)) | (Err(_), Err(_)) | (Err(FrameErrorKind::TooDeep), Ok(_)) => Ok(()),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(TestCaseError::fail(format!(
            "{text:?}: ours {ours:?}, theirs {theirs:?}"
        ))),
    }
}

/// Generates tokens that form JSON, and almost-JSON.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\"a\""),
        Just("\"\\u0061\""),
        Just("\"\\ud83d\\ude00\""),
        Just("\"\\ud83d\""),
        Just("\"\\q\""),
        Just("\u{1}"),
        Just(" "),
        Just("\n"),
        Just("\t"),
        Just("1"),
        Just("-"),
        Just("0"),
        Just("01"),
        Just("1.5"),
        Just("1."),
        Just("1e5"),
        Just("1e999"),
        Just("-0"),
        Just("true"),
        Just("false"),
        Just("null"),
        Just("nul"),
        Just("é"),
        Just("\\"),
        Just("NaN"),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_scanner_accepts_the_same_texts_as_serde_json(text in pieces()) {
        agrees(&text)?;
    }

    #[test]
    fn the_scanner_agrees_with_serde_json_on_arbitrary_text(text in any::<String>()) {
        agrees(&text)?;
    }

    #[test]
    fn compact_and_pretty_values_are_accepted(value in json()) {
        agrees(&value.to_string())?;
        agrees(&serde_json::to_string_pretty(&value).unwrap())?;
        prop_assert!(scan(&value.to_string()).is_ok());
    }

    #[test]
    fn the_scanner_agrees_with_serde_json_on_damaged_values(value in json(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let text = value.to_string();
        let mut chars: Vec<char> = text.chars().collect();
        let place = at.index(chars.len());
        chars[place] = with;
        agrees(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn unescapes_as_serde_json_does(text in any::<String>(), ascii in any::<bool>()) {
        let literal = if ascii { escape_all(&text) } else { serde_json::to_string(&text).unwrap() };
        let scanner = JsonScanner::within(&literal, 0, &FrameLimits::REQUEST);
        let value = scanner.unquote(ByteSpan::new(0, literal.len()), true);
        prop_assert_eq!(&*value, &text);
        prop_assert!(scan(&literal).is_ok());
    }
}

/// Writes every code unit as a `\u` escape.
fn escape_all(text: &str) -> String {
    let units: String = text
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04X}"))
        .collect();
    format!("\"{units}\"")
}

#[test]
fn nesting_is_limited_exactly() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(scan(&nested(64)).is_ok());
    assert_eq!(scan(&nested(65)), Err(FrameErrorKind::TooDeep));
    assert_eq!(scan(&"[".repeat(1_000_000)), Err(FrameErrorKind::TooDeep));
}

#[test]
fn a_lenient_scan_skips_a_value_of_any_depth_and_checks_its_syntax() {
    let scan = |text: &str| {
        let mut scanner = JsonScanner::within(text, 0, &FrameLimits::LENIENT);
        let (span, _) = scanner.value().map_err(|fault| fault.reason)?;
        scanner.end().map_err(|fault| fault.reason)?;
        Ok(span.len())
    };
    for levels in [400, 511, 512, 513, 520, 10_000, 200_000] {
        let arrays = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(scan(&arrays), Ok(arrays.len()), "{levels}");
        let open = r#"{"a" : [1,"]", {}, "#.repeat(levels);
        let close = r#" , [] , null ] , "b":-1e5}"#.repeat(levels);
        let mixed = format!("{open}{{}}{close}");
        assert_eq!(scan(&mixed), Ok(mixed.len()), "{levels}");
        for bad in [
            format!("{open}{close}"),
            mixed.replacen("-1e5", "-", 1),
            format!("{open}{{}}"),
            format!("{}{}", "[".repeat(levels), "}".repeat(levels)),
            format!("{}1 1{}", "[".repeat(levels), "]".repeat(levels)),
            format!("{}{}", "[".repeat(levels), "]".repeat(levels - 1)),
        ] {
            assert_eq!(scan(&bad), Err(FrameErrorKind::Syntax), "{levels}");
        }
    }
}

#[test]
fn numbers_are_bounded() {
    assert!(scan(&"9".repeat(308)).is_ok());
    assert_eq!(scan(&"9".repeat(400)), Err(FrameErrorKind::Number));
    assert_eq!(
        scan(&format!("0.{}", "1".repeat(600))),
        Err(FrameErrorKind::Number)
    );
    assert_eq!(scan("1e999"), Err(FrameErrorKind::Number));
}

#[test]
fn duplicate_detection_is_not_quadratic() {
    let members: Vec<String> = (0..200_000).map(|n| format!("\"m{n}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    let unlimited = FrameLimits {
        members: usize::MAX,
        ..FrameLimits::REQUEST
    };
    let mut scanner = JsonScanner::within(&text, 0, &unlimited);
    let crossed = scanner.object(|s, _| s.value().map(drop));
    assert!(crossed.is_ok());
    let twice = text.replace("\"m199999\"", "\"m150000\"");
    let mut scanner = JsonScanner::within(&twice, 0, &unlimited);
    let crossed = scanner.object(|s, _| s.value().map(drop));
    assert_eq!(
        crossed.map_err(|f| f.reason),
        Err(FrameErrorKind::Duplicate)
    );
}

#[test]
fn special_bytes_are_found_at_every_offset() {
    for length in [0, 1, 7, 8, 9, 63, 64, 65, 70, 200] {
        for at in 0..length {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for filler in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![filler; length];
                    bytes[at] = special;
                    if at + 2 < length {
                        bytes[at + 2] = b'"';
                    }
                    assert_eq!(
                        plain_prefix_len(&bytes),
                        at,
                        "{length} {at} {special} {filler}"
                    );
                }
            }
        }
        assert_eq!(plain_prefix_len(&vec![b'a'; length]), length);
    }
}
