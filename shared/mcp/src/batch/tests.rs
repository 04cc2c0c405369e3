//! Tests that arrays are split like `serde_json` splits them, within the limits.

use proptest::prelude::*;
use serde_json::Value;

use super::{MEMBERS, is_array, split};
use crate::{Limits, Reason};

fn members(source: &str) -> Result<Vec<&str>, Reason> {
    let spans = split(source.as_bytes(), &Limits::REQUEST).map_err(|error| error.reason)?;
    let text = |span: &crate::Span| std::str::from_utf8(span.of(source.as_bytes())).unwrap();
    Ok(spans.iter().map(text).collect())
}

#[test]
fn members_stay_as_they_were_written() {
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
fn what_is_no_array_of_messages_is_refused() {
    for (source, reason) in [
        ("[]", Reason::Shape),
        (" [ ] ", Reason::Shape),
        ("[1", Reason::Syntax),
        ("[1,]", Reason::Syntax),
        ("[1] 2", Reason::Trailing),
        ("\u{feff}[1]", Reason::ByteOrderMark),
    ] {
        assert_eq!(members(source), Err(reason), "{source}");
    }
    let of = |count| format!("[{}]", vec!["{}"; count].join(","));
    assert_eq!(members(&of(MEMBERS)).unwrap().len(), MEMBERS);
    assert_eq!(members(&of(MEMBERS + 1)), Err(Reason::TooManyMembers));
    let deep = format!("{}1{}", "[".repeat(80), "]".repeat(80));
    assert_eq!(members(&deep), Err(Reason::TooDeep));
    let not_utf8 = split(b"[\"\xff\"]", &Limits::REQUEST);
    assert_eq!(not_utf8.unwrap_err().reason, Reason::NotUtf8);
    let small = Limits {
        bytes: 4,
        ..Limits::REQUEST
    };
    let large = split(b"[1, 2]", &small);
    assert_eq!(large.unwrap_err().reason, Reason::TooLarge);
}

proptest! {
    #[test]
    fn agrees_with_a_model_of_whole_values(
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
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _read = split(&bytes, &Limits::REQUEST);
        let _is = is_array(&bytes);
    }
}
