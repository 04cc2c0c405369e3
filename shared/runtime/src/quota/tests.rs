//! Tests of quotas: permits are released on every path, and no owner exceeds its limit.

use std::{panic, thread};

use super::*;

fn holder(number: usize) -> BudgetOwner {
    BudgetOwner::of(&number)
}

fn of(tally: &Quota, holder: BudgetOwner) -> usize {
    tally.counts().get(&holder).copied().unwrap_or_default()
}

/// Compares random histories with the simplest correct model: one list of held permits per owner.
#[test]
fn the_count_equals_the_held_permits_after_any_history() {
    const HOLDERS: usize = 5;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    for most in [0, 1, 3, 7] {
        let tally = Quota::new(most);
        let mut model: Vec<Vec<QuotaPermit>> = (0..HOLDERS).map(|_| Vec::new()).collect();
        for _ in 0..5_000 {
            let who = next(HOLDERS);
            let hand = &mut model[who];
            match next(8) {
                // Drops all permits of an owner at once, as when a session ends.
                0 => hand.clear(),
                1..4 if !hand.is_empty() => drop(hand.swap_remove(next(hand.len()))),
                _ => {
                    let taken = tally.acquire(holder(who));
                    assert_eq!(taken.is_some(), hand.len() < most);
                    hand.extend(taken);
                }
            }
            for (who, hand) in model.iter().enumerate() {
                assert_eq!(of(&tally, holder(who)), hand.len());
            }
            let some = model.iter().filter(|hand| !hand.is_empty()).count();
            assert_eq!(tally.owners(), some, "who has nothing is forgotten");
        }
        drop(model);
        assert_eq!(tally.owners(), 0);
    }
}

#[test]
fn concurrent_permits_never_exceed_the_limit_and_are_released_by_a_panic() {
    let tally = Quota::new(3);
    let work = |seed: usize| {
        for round in 0..2_000 {
            let taken = tally.acquire(holder(round % 2));
            assert!(of(&tally, holder(round % 2)) <= 3);
            if (round + seed).is_multiple_of(500) {
                let fall = panic::AssertUnwindSafe(move || {
                    let _taken = taken;
                    panic::resume_unwind(Box::new("on purpose"));
                });
                assert!(panic::catch_unwind(fall).is_err());
            }
        }
    };
    thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || work(seed));
        }
    });
    assert_eq!(tally.owners(), 0);
}

#[test]
fn an_owner_at_its_limit_does_not_block_others() {
    let tally = Quota::new(2);
    let (one, other) = (holder(1), holder(2));
    let held: Vec<_> = std::iter::from_fn(|| tally.acquire(one)).collect();
    assert_eq!(held.len(), 2);
    let theirs = tally.acquire(other);
    assert!(theirs.is_some());
    drop(held);
    assert!(tally.acquire(one).is_some());
}
