//! Tests of splicing.

use super::*;

#[test]
fn edits_apply_in_any_order() {
    let edits = || {
        vec![
            Edit::replace(Span::new(8, 9), &b"Z"[..]),
            Edit::replace(Span::new(0, 2), &b""[..]),
            Edit::insert(5, &b"++"[..]),
        ]
    };
    let mut reversed = edits();
    reversed.reverse();
    assert_eq!(splice(b"0123456789", edits()).unwrap(), "234++567Z9");
    assert_eq!(splice(b"0123456789", reversed).unwrap(), "234++567Z9");
}

#[test]
fn overlaps_and_outsiders_are_refused() {
    let two = |a: Span, b: Span| vec![Edit::replace(a, &b"x"[..]), Edit::replace(b, &b"y"[..])];
    assert!(splice(b"0123", two(Span::new(0, 2), Span::new(1, 3))).is_err());
    assert!(splice(b"0123", vec![Edit::insert(5, &b"x"[..])]).is_err());
    assert!(splice(b"0123", vec![Edit::replace(Span::new(2, 9), &b"x"[..])]).is_err());
    assert!(splice(b"0123", vec![Edit::replace(Span::new(3, 1), &b"x"[..])]).is_err());
}
