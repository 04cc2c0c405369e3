//! Tests of truncated texts.

use super::truncated;

#[test]
fn a_text_is_cut_before_the_character_that_does_not_fit() {
    for (text, limit, expected) in [
        ("", 0, ""),
        ("", 3, ""),
        ("abc", 3, "abc"),
        ("abc", 4, "abc"),
        ("abc", 2, "ab"),
        ("abc", 0, ""),
        ("aé", 2, "a"),
        ("aé", 3, "aé"),
        ("€uro", 2, ""),
        ("€uro", 3, "€"),
        ("a🦀", 4, "a"),
    ] {
        assert_eq!(truncated(text, limit), expected, "{text} in {limit} bytes");
    }
}
