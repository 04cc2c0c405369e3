//! Tests that the comparison marks changed lines only.

use super::diff;

#[test]
fn only_changed_lines_are_marked() {
    let lines = diff("a\nb\nc\n", "a\nx\nc\nd\n");
    assert_eq!(lines, [" a", "-b", "+x", " c", "+d"]);
}

#[test]
fn a_new_object_is_all_plus_lines() {
    assert_eq!(diff("", "a\nb\n"), ["+a", "+b"]);
}
