//! Tests that a token is hashed once and that another token never gets its hash.

use std::cell::Cell;

use super::*;

#[test]
fn each_distinct_token_is_hashed_once() {
    let memo = TokenHashCache::default();
    let hashed = Cell::new(0);
    let (one, two) = (Arc::new(1_u8), Arc::new(2_u8));
    let ask = |key: &Arc<u8>, token: &str| {
        memo.hash(key, token, |token| {
            hashed.set(hashed.get() + 1);
            TokenHash([token.as_bytes()[0]; 32])
        })
    };
    assert_eq!(ask(&one, "a1"), TokenHash([b'a'; 32]));
    assert_eq!(ask(&one, "a1"), TokenHash([b'a'; 32]));
    assert_eq!(hashed.get(), 1);
    assert_eq!(ask(&one, "b1"), TokenHash([b'b'; 32]));
    assert_eq!(ask(&one, "b1x"), TokenHash([b'b'; 32]));
    assert_eq!(ask(&one, "a1"), TokenHash([b'a'; 32]));
    assert_eq!(hashed.get(), 4);
    ask(&two, "a1");
    assert_eq!(hashed.get(), 5, "another key is another hash");
}

#[test]
fn a_connection_keeps_no_token_of_more_than_2_kib() {
    let memo = TokenHashCache::default();
    let hashed = Cell::new(0);
    let key = Arc::new(1_u8);
    let ask = |token: &str| {
        memo.hash(&key, token, |_| {
            hashed.set(hashed.get() + 1);
            TokenHash([7; 32])
        });
        hashed.get()
    };
    let (longest, longer) = ("x".repeat(MAX_KEPT), "x".repeat(MAX_KEPT + 1));
    assert_eq!(MAX_KEPT, 2_048);
    assert_eq!([ask(&longest), ask(&longest)], [1, 1]);
    assert_eq!([ask(&longer), ask(&longer)], [2, 3]);
    assert_eq!(ask(&longest), 3, "the token before is kept");
}

#[test]
fn a_slot_returns_its_value_only_as_the_stored_type() {
    let slot = CacheSlot::default();
    assert!(slot.get::<u8>().is_none());
    slot.put(Arc::new(7_u8));
    assert_eq!(slot.get::<u8>().as_deref(), Some(&7));
    assert!(slot.get::<u16>().is_none());
}
