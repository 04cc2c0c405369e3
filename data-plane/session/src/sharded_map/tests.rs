//! Tests that the map counts its entries and respects its limit.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use toolgate_runtime::{Quota, QuotaPermit, budget::BudgetOwner};

use super::*;

#[test]
fn an_entry_is_created_once_and_the_map_is_bounded() {
    let map: ShardedMap<u32, u32> = ShardedMap::new(2);
    assert_eq!(map.get(&1), None);
    assert_eq!(map.get_or_insert(&1, || 10), Ok(10));
    assert_eq!(map.get_or_insert(&1, || 11), Ok(10));
    assert_eq!(map.get_or_insert(&2, || 20), Ok(20));
    assert_eq!(map.get_or_insert(&3, || 30), Err(MapFull));
    map.remove_if(&1, |value| *value == 11);
    assert_eq!(map.len(), 2);
    map.remove_if(&1, |value| *value == 10);
    assert_eq!(map.len(), 1);
    assert_eq!(map.get_or_insert(&3, || 30), Ok(30));
}

/// The last quota of a principal suffices for all concurrent callers for the same key.
#[test]
fn concurrent_requests_for_one_key_take_one_quota_permit() {
    const ROUNDS: u32 = 500;
    let map: ShardedMap<u32, Arc<QuotaPermit>> = ShardedMap::new(1_000);
    let (tally, holder) = (Quota::new(1), BudgetOwner::of(&"ada"));
    let (start, end) = (Barrier::new(4), Barrier::new(4));
    // A panic in a thread would leave the others waiting at the barrier.
    let wrong = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let make = || tally.acquire(holder).map(Arc::new).ok_or("no share");
                    start.wait();
                    let made = map.get_or_try(&round, "full", make).is_ok();
                    let another = map.get_or_try(&ROUNDS, "full", make).is_ok();
                    wrong.fetch_add(usize::from(!made || another), Ordering::Relaxed);
                    end.wait();
                    map.remove_if(&round, |_taken| true);
                }
            });
        }
    });
    assert_eq!(wrong.into_inner(), 0);
    assert_eq!((map.len(), tally.owners()), (0, 0));
}

#[test]
fn the_length_is_correct_after_every_change() {
    let map: ShardedMap<u32, u32> = ShardedMap::new(1000);
    for n in 0..500 {
        map.update(&n, |value| *value = Some(n));
        map.update(&n, |value| *value = value.map(|n| n + 1));
    }
    assert_eq!((map.len(), map.get(&7)), (500, Some(8)));
    (0..500).for_each(|key| map.remove_if(&key, |_value| key % 2 == 1));
    assert_eq!(map.len(), 250);
    let mut seen = 0;
    map.for_each(|key, value| seen += usize::from(*value == key + 1));
    assert_eq!(seen, 250);
    map.update(&0, |value| *value = None);
    map.update(&1, |value| *value = None);
    assert_eq!(map.len(), 249);
}
