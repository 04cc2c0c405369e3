//! A server is not given more calls than it may have, and a crowded one is shared.

use super::*;
use crate::fixture::{CALLS_PER_SERVER, CROWDED, CROWDED_SHARE};

#[test]
fn places_are_bounded_and_given_back() {
    let bulkhead = Bulkhead::new(CALLS_PER_SERVER);
    let held: Vec<_> = (0..CALLS_PER_SERVER)
        .map(|_| bulkhead.enter(None).ok().unwrap())
        .collect();
    for _ in 0..3 {
        assert_eq!(bulkhead.enter(None).err(), Some(UpstreamFailure::Busy));
    }
    assert_eq!(bulkhead.load(), (CALLS_PER_SERVER, 0));
    drop(held);
    assert_eq!(bulkhead.load(), (0, 0));
}

#[test]
fn callers_are_counted_only_when_it_is_crowded() {
    let bulkhead = Bulkhead::new(CALLS_PER_SERVER);
    let ada = BudgetOwner::of(&"ada");
    let early: Vec<_> = (0..CROWDED)
        .map(|_| bulkhead.enter(Some(ada)).ok().unwrap())
        .collect();
    assert_eq!(bulkhead.load(), (CROWDED, 0));
    let late = bulkhead.enter(Some(ada)).ok().unwrap();
    assert_eq!(bulkhead.load(), (CROWDED + 1, 1));
    drop(early);
    // A place that was counted stays counted.
    assert_eq!(bulkhead.load(), (1, 1));
    drop(late);
    assert_eq!(bulkhead.load(), (0, 0));
}

#[test]
fn requests_of_the_proxy_itself_need_no_share() {
    let bulkhead = Bulkhead::new(CALLS_PER_SERVER);
    let ada = BudgetOwner::of(&"ada");
    let held: Vec<_> = std::iter::from_fn(|| bulkhead.enter(Some(ada)).ok()).collect();
    assert_eq!(held.len(), CROWDED + CROWDED_SHARE);
    assert_eq!(bulkhead.enter(Some(ada)).err(), Some(UpstreamFailure::Busy));
    assert!(bulkhead.enter(None).is_ok());
    assert_eq!(
        bulkhead.load().0,
        CROWDED + CROWDED_SHARE,
        "refusals take nothing"
    );
}

#[test]
fn a_server_that_may_have_a_single_call_gets_it() {
    let bulkhead = Bulkhead::new(1);
    let ada = BudgetOwner::of(&"ada");
    let only = bulkhead.enter(Some(ada)).ok().unwrap();
    assert_eq!(bulkhead.enter(None).err(), Some(UpstreamFailure::Busy));
    drop(only);
    assert!(bulkhead.enter(Some(ada)).is_ok());
}
