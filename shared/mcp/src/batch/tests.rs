//! Tests that arrays are split like `serde_json` splits them, within the limits.

use proptest::prelude::*;
use serde_json::Value;

use super::{MAX_MESSAGES, is_array, split};
use crate::{FrameErrorKind, FrameLimits};

fn members(source: &str) -> Result<Vec<&str>, FrameErrorKind> {
    let spans = split(source.as_bytes(), &FrameLimits::REQUEST).map_err(|error| error.reason)?;
    let text = |span: &crate::ByteSpan| std::str::from_utf8(span.of(source.as_bytes())).unwrap();
    Ok(spans.iter().map(text).collect())
}

#[test]
fn batch_members_keep_their_bytes() {
    let source = " [ {\"a\": [1, 2]} ,\n 7,\"]\", []]\n";
    assert_eq!(
        members(source).unwrap(),
        ["{\"a\": [1, 2]}", "7", "\"]\"", "[]"]
    );
    assert!(is_array(source.as_bytes()));
    assert!(!is_array(b" {\"a\":[]}"));
    assert!(!is_array(b""));
}

#[test]
fn a_batch_that_is_not_an_array_of_messages_is_rejected() {
    for (source, reason) in [
        ("[]", FrameErrorKind::Shape),
        (" [ ] ", FrameErrorKind::Shape),
        ("[1", FrameErrorKind::Syntax),
        ("[1,]", FrameErrorKind::Syntax),
        ("[1] 2", FrameErrorKind::Trailing),
        ("\u{feff}[1]", FrameErrorKind::ByteOrderMark),
    ] {
        assert_eq!(members(source), Err(reason), "{source}");
    }
    let of = |count| format!("[{}]", vec!["{}"; count].join(","));
    assert_eq!(members(&of(MAX_MESSAGES)).unwrap().len(), MAX_MESSAGES);
    assert_eq!(
        members(&of(MAX_MESSAGES + 1)),
        Err(FrameErrorKind::TooManyMembers)
    );
    let deep = format!("{}1{}", "[".repeat(80), "]".repeat(80));
    assert_eq!(members(&deep), Err(FrameErrorKind::TooDeep));
    let not_utf8 = split(b"[\"\xff\"]", &FrameLimits::REQUEST);
    assert_eq!(not_utf8.unwrap_err().reason, FrameErrorKind::NotUtf8);
    let small = FrameLimits {
        bytes: 4,
        ..FrameLimits::REQUEST
    };
    let large = split(b"[1, 2]", &small);
    assert_eq!(large.unwrap_err().reason, FrameErrorKind::TooLarge);
}

proptest! {
    #[test]
    fn the_batch_reader_agrees_with_a_parsed_model(
        items in proptest::collection::vec("[a-z\"\\\\\\[\\]{},: ]{0,12}", 1..20),
        pretty in any::<bool>(),
    ) {
        let whole = Value::from(items.iter().map(|item| serde_json::json!({"k": item})).collect::<Vec<_>>());
        let source = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
        let source = source.unwrap();
        let read: Vec<Value> = members(&source).unwrap().into_iter().map(|it| serde_json::from_str(it).unwrap()).collect();
        prop_assert_eq!(Value::from(read), whole);
    }

    #[test]
    fn arbitrary_bytes_cause_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _read = split(&bytes, &FrameLimits::REQUEST);
        let _is = is_array(&bytes);
    }
}
