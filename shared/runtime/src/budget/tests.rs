//! Tests of memory budgets: held bytes are counted and released with their last reference.

use super::*;

fn free(budget: &MemoryBudget) -> usize {
    budget.free.load(Ordering::Relaxed)
}

#[test]
fn the_budget_is_never_exceeded() {
    let budget = MemoryBudget::new(10);
    let mut one = budget.open(None);
    one.add(6).unwrap();
    let mut two = budget.open(None);
    assert_eq!(two.add(5), Err(BudgetExceeded::Total));
    two.add(4).unwrap();
    drop(one);
    assert_eq!(free(&budget), 6);
}

#[test]
fn bytes_release_their_charge_with_their_last_clone() {
    let budget = MemoryBudget::new(10);
    let mut charge = budget.open(None);
    charge.add(4).unwrap();
    let bytes = charge.attach(Bytes::from_static(b"body"));
    let share = bytes.slice(1..2);
    drop(bytes);
    assert_eq!((free(&budget), &*share), (6, &b"o"[..]));
    drop(share);
    assert_eq!(free(&budget), 10);
}

#[test]
fn covered_bytes_are_charged_once() {
    let budget = MemoryBudget::new(10);
    let mut charge = budget.open(None);
    for bytes in [3, 7, 5] {
        charge.cover(bytes).unwrap();
    }
    assert_eq!(free(&budget), 3);
    assert_eq!(charge.cover(11), Err(BudgetExceeded::Total));
    assert_eq!(free(&budget), 3, "a refusal takes nothing");
}

#[test]
fn one_owner_gets_a_quarter_or_everything_if_alone() {
    let budget = MemoryBudget::new(100);
    let [one, other] = ["one", "other"].map(|who| Some(BudgetOwner::of(&who)));
    let mut first = budget.open(one);
    first.add(20).unwrap();
    let mut second = budget.open(one);
    assert_eq!(second.add(6), Err(BudgetExceeded::OwnerLimit));
    second.add(5).unwrap();
    budget.open(other).add(25).unwrap();
    drop((first, second));
    let mut large = budget.open(other);
    large.add(60).unwrap();
    large.add(20).unwrap();
    assert_eq!(large.add(21), Err(BudgetExceeded::Total));
    assert_eq!(budget.open(other).add(1), Err(BudgetExceeded::OwnerLimit));
    budget.open(one).add(20).unwrap();
    drop(large);
    assert_eq!(free(&budget), 100);
    assert!(
        budget.owners().is_empty(),
        "who holds nothing is remembered"
    );
}

#[test]
fn no_new_charge_begins_while_the_budget_is_used_up() {
    let budget = MemoryBudget::new(640);
    let one = BudgetOwner::of(&"one");
    let mut all = budget.open(None);
    all.add(598).unwrap();
    let mut little = budget.open(Some(one));
    little.add(2).unwrap();
    assert_eq!(budget.has_room(one), Ok(()));
    all.add(1).unwrap();
    assert_eq!(budget.has_room(one), Err(BudgetExceeded::Total));
    let other = BudgetOwner::of(&"other");
    assert_eq!(budget.has_room(other), Ok(()), "it holds nothing");
}

#[test]
fn owners_that_take_all_they_can_leave_room_for_one_that_holds_nothing() {
    let budget = MemoryBudget::new(1 << 28);
    let mut held = Vec::new();
    for owner in 0..12 {
        let holder = Some(BudgetOwner::of(&owner));
        loop {
            let mut charge = budget.open(holder);
            if charge.add(1 << 16).is_err() {
                break;
            }
            held.push(charge);
        }
    }
    let newcomer = BudgetOwner::of(&"newcomer");
    assert_eq!(budget.has_room(newcomer), Ok(()));
    budget.open(Some(newcomer)).add(1 << 19).unwrap();
    assert!(budget.is_under_pressure());
    let first = BudgetOwner::of(&0);
    assert!(budget.has_room(first).is_err());
}

#[test]
fn an_owner_at_its_quota_is_rejected_before_it_begins() {
    let budget = MemoryBudget::new(640);
    let [one, other] = ["one", "other"].map(|who| BudgetOwner::of(&who));
    let mut charge = budget.open(Some(one));
    charge.add(150).unwrap();
    assert_eq!(budget.has_room(one), Ok(()));
    charge.add(1).unwrap();
    assert_eq!(budget.has_room(one), Err(BudgetExceeded::OwnerLimit));
    assert_eq!(budget.has_room(other), Ok(()));
    drop(charge);
    assert_eq!(budget.has_room(one), Ok(()));
}
