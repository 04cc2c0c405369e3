//! Tests of the limits at their boundaries.

use super::*;

fn put(key: &str, size: usize) -> WriteOp {
    WriteOp::Put {
        key: key.to_owned(),
        value: vec![0; size],
        lease: None,
    }
}

fn accepts(writes: Vec<WriteOp>) -> bool {
    let guards = Vec::new();
    check(&Txn {
        compares: guards,
        writes,
    })
    .is_ok()
}

#[test]
fn a_value_is_accepted_at_the_size_limit_and_rejected_above() {
    assert!(accepts(vec![put("/k", MAX_VALUE_BYTES)]));
    assert!(!accepts(vec![put("/k", MAX_VALUE_BYTES + 1)]));
}

#[test]
fn a_key_is_written_once_in_a_transaction() {
    assert!(!accepts(vec![
        put("/k", 0),
        WriteOp::Delete("/k".to_owned())
    ]));
}

#[test]
fn a_transaction_is_bounded() {
    let many = |count| (0..count).map(|n| put(&format!("/{n}"), 0)).collect();
    assert!(accepts(many(MAX_TXN_OPS)));
    assert!(!accepts(many(MAX_TXN_OPS + 1)));
}

#[test]
fn keys_are_visible_ascii() {
    for bad in ["", "a b", "ä", "a\n"] {
        assert!(check_key(bad).is_err(), "{bad:?}");
    }
    assert!(check_key(&"k".repeat(MAX_KEY_BYTES)).is_ok());
    assert!(check_key(&"k".repeat(MAX_KEY_BYTES + 1)).is_err());
}
