//! Tests of suggestions for misspelled names.

use super::nearest;

#[test]
fn the_suggestion_is_the_closest_name() {
    let known = ["everything__echo", "everything__add", "demo", "echo"];
    let cases = [
        ("everything__ech", Some("everything__echo")),
        ("ech", Some("echo")),
        ("dmo", Some("demo")),
        ("add", Some("everything__add")),
        ("weather", None),
        ("", None),
    ];
    for (word, expected) in cases {
        assert_eq!(nearest(word, known), expected, "{word}");
    }
}
