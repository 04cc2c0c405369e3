//! Tests of the limits at their boundaries.

use super::*;

fn put(key: &str, size: usize) -> Write {
    Write::Put {
        key: key.to_owned(),
        value: vec![0; size],
        lease: None,
    }
}

fn accepts(writes: Vec<Write>) -> bool {
    let guards = Vec::new();
    check(&Txn { guards, writes }).is_ok()
}

#[test]
fn a_value_may_be_as_large_as_the_limit_and_no_larger() {
    assert!(accepts(vec![put("/k", MAX_VALUE)]));
    assert!(!accepts(vec![put("/k", MAX_VALUE + 1)]));
}

#[test]
fn a_key_is_written_once_in_a_transaction() {
    assert!(!accepts(vec![put("/k", 0), Write::Delete("/k".to_owned())]));
}

#[test]
fn a_transaction_is_bounded() {
    let many = |count| (0..count).map(|n| put(&format!("/{n}"), 0)).collect();
    assert!(accepts(many(MAX_OPERATIONS)));
    assert!(!accepts(many(MAX_OPERATIONS + 1)));
}

#[test]
fn keys_are_visible_ascii() {
    for bad in ["", "a b", "ä", "a\n"] {
        assert!(check_key(bad).is_err(), "{bad:?}");
    }
    assert!(check_key(&"k".repeat(MAX_KEY)).is_ok());
    assert!(check_key(&"k".repeat(MAX_KEY + 1)).is_err());
}
