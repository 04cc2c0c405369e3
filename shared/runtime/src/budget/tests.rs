//! Tests of memory budgets: held bytes are counted and released with their last reference.

use super::*;

fn free(budget: &Budget) -> usize {
    budget.free.load(Ordering::Relaxed)
}

#[test]
fn no_more_is_held_than_there_is() {
    let budget = Budget::new(10);
    let mut one = budget.open(None);
    one.add(6).unwrap();
    let mut two = budget.open(None);
    assert_eq!(two.add(5), Err(Exhausted::Budget));
    two.add(4).unwrap();
    drop(one);
    assert_eq!(free(&budget), 6);
}

#[test]
fn bytes_give_back_their_charge_with_their_last_share() {
    let budget = Budget::new(10);
    let mut charge = budget.open(None);
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
    let mut charge = budget.open(None);
    for bytes in [3, 7, 5] {
        charge.cover(bytes).unwrap();
    }
    assert_eq!(free(&budget), 3);
    assert_eq!(charge.cover(11), Err(Exhausted::Budget));
    assert_eq!(free(&budget), 3, "a refusal takes nothing");
}

#[test]
fn one_holder_has_a_quarter_and_what_it_holds_alone() {
    let budget = Budget::new(100);
    let [one, other] = ["one", "other"].map(|who| Some(Holder::of(&who)));
    let mut first = budget.open(one);
    first.add(20).unwrap();
    let mut second = budget.open(one);
    assert_eq!(second.add(6), Err(Exhausted::Share));
    second.add(5).unwrap();
    budget.open(other).add(25).unwrap();
    drop((first, second));
    let mut large = budget.open(other);
    large.add(60).unwrap();
    large.add(20).unwrap();
    assert_eq!(large.add(21), Err(Exhausted::Budget));
    assert_eq!(budget.open(other).add(1), Err(Exhausted::Share));
    budget.open(one).add(20).unwrap();
    drop(large);
    assert_eq!(free(&budget), 100);
    assert!(
        budget.shares().is_empty(),
        "who holds nothing is remembered"
    );
}

#[test]
fn nothing_new_begins_for_anybody_while_all_is_held() {
    let budget = Budget::new(640);
    let one = Holder::of(&"one");
    let mut all = budget.open(None);
    all.add(600).unwrap();
    assert_eq!(budget.has_room(one), Ok(()));
    all.add(1).unwrap();
    assert_eq!(budget.has_room(one), Err(Exhausted::Budget));
}

#[test]
fn who_has_a_share_is_told_so_before_anything_begins() {
    let budget = Budget::new(640);
    let [one, other] = ["one", "other"].map(|who| Holder::of(&who));
    let mut charge = budget.open(Some(one));
    charge.add(150).unwrap();
    assert_eq!(budget.has_room(one), Ok(()));
    charge.add(1).unwrap();
    assert_eq!(budget.has_room(one), Err(Exhausted::Share));
    assert_eq!(budget.has_room(other), Ok(()));
    drop(charge);
    assert_eq!(budget.has_room(one), Ok(()));
}
