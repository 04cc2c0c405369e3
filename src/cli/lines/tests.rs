//! Tests that the comparison marks changed lines only.

use super::diff;

#[test]
fn only_what_changed_is_marked() {
    let lines = diff("a\nb\nc\n", "a\nx\nc\nd\n");
    assert_eq!(lines, [" a", "-b", "+x", " c", "+d"]);
}

#[test]
fn something_new_is_all_plus() {
    assert_eq!(diff("", "a\nb\n"), ["+a", "+b"]);
}
