//! Tests that hidden characters are found and ordinary text is accepted.

use super::*;

#[test]
fn ordinary_text_is_not_flagged() {
    for text in [
        "plain\n\ttext",
        "наш",
        "日本語",
        "é e\u{301}",
        "👩\u{200d}👧",
        "❤\u{fe0f}",
        "می\u{200c}خواهم",
    ] {
        assert!(!contained_in(text), "{text:?}");
    }
}

#[test]
fn invisible_characters_are_found_at_any_position() {
    for c in "\u{1b}\u{9b}\u{7f}\0\u{200b}\u{200e}\u{202e}\u{2066}\u{2069}\u{feff}\u{ad}\u{e0041}\u{e0100}".chars() {
        assert!(contained_in(&format!("a{c}b")), "{c:?}");
    }
    assert!(contained_in("ad\u{200d}min"));
    assert!(contained_in_json(br#"{"a":[{"b":"x\u200by"}]}"#));
    assert!(contained_in_json(br#"{"a":{"x\udb40\udc41":1}}"#));
    assert!(!contained_in_json(br#"{"a":["b",1,null]}"#));
}
