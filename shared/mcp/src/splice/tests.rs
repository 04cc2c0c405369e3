//! Tests of splicing.

use super::*;

#[test]
fn edits_apply_in_any_order() {
    let edits = || {
        vec![
            ByteEdit::replace(ByteSpan::new(8, 9), &b"Z"[..]),
            ByteEdit::replace(ByteSpan::new(0, 2), &b""[..]),
            ByteEdit::insert(5, &b"++"[..]),
        ]
    };
    let mut reversed = edits();
    reversed.reverse();
    assert_eq!(splice(b"0123456789", edits()).unwrap(), "234++567Z9");
    assert_eq!(splice(b"0123456789", reversed).unwrap(), "234++567Z9");
}

#[test]
fn overlapping_and_out_of_range_edits_are_rejected() {
    let two = |a: ByteSpan, b: ByteSpan| {
        vec![
            ByteEdit::replace(a, &b"x"[..]),
            ByteEdit::replace(b, &b"y"[..]),
        ]
    };
    assert!(splice(b"0123", two(ByteSpan::new(0, 2), ByteSpan::new(1, 3))).is_err());
    assert!(splice(b"0123", vec![ByteEdit::insert(5, &b"x"[..])]).is_err());
    assert!(
        splice(
            b"0123",
            vec![ByteEdit::replace(ByteSpan::new(2, 9), &b"x"[..])]
        )
        .is_err()
    );
    assert!(
        splice(
            b"0123",
            vec![ByteEdit::replace(ByteSpan::new(3, 1), &b"x"[..])]
        )
        .is_err()
    );
}
