//! What is held is counted, and given back with its last share.

use super::*;

fn free(budget: &Budget) -> usize {
    budget.free.load(Ordering::Relaxed)
}

#[test]
fn no_more_is_held_than_there_is() {
    let budget = Budget::new(10);
    let mut one = budget.open();
    one.add(6).unwrap();
    let mut two = budget.open();
    assert_eq!(two.add(5), Err(Exhausted));
    two.add(4).unwrap();
    drop(one);
    assert_eq!(free(&budget), 6);
}

#[test]
fn bytes_give_back_their_charge_with_their_last_share() {
    let budget = Budget::new(10);
    let mut charge = budget.open();
    charge.add(4).unwrap();
    let bytes = charge.hold(Bytes::from_static(b"body"));
    let share = bytes.slice(1..2);
    drop(bytes);
    assert_eq!((free(&budget), &*share), (6, &b"o"[..]));
    drop(share);
    assert_eq!(free(&budget), 10);
}

#[test]
fn what_is_covered_is_taken_once() {
    let budget = Budget::new(10);
    let mut charge = budget.open();
    for bytes in [3, 7, 5] {
        charge.cover(bytes).unwrap();
    }
    assert_eq!(free(&budget), 3);
    assert_eq!(charge.cover(11), Err(Exhausted));
    assert_eq!(free(&budget), 3, "a refusal takes nothing");
}
