//! Tests that hidden characters are found and ordinary text is accepted.

use super::*;

#[test]
fn what_people_write_is_not_hidden() {
    for text in [
        "plain\n\ttext",
        "наш",
        "日本語",
        "é e\u{301}",
        "👩\u{200d}👧",
        "❤\u{fe0f}",
        "می\u{200c}خواهم",
    ] {
        assert!(!is_in(text), "{text:?}");
    }
}

#[test]
fn what_nobody_sees_is_found_wherever_it_is() {
    for c in "\u{1b}\u{9b}\u{7f}\0\u{200b}\u{200e}\u{202e}\u{2066}\u{2069}\u{feff}\u{ad}\u{e0041}\u{e0100}".chars() {
        assert!(is_in(&format!("a{c}b")), "{c:?}");
    }
    assert!(is_in("ad\u{200d}min"));
    assert!(is_within(br#"{"a":[{"b":"x\u200by"}]}"#));
    assert!(is_within(br#"{"a":{"x\udb40\udc41":1}}"#));
    assert!(!is_within(br#"{"a":["b",1,null]}"#));
}
