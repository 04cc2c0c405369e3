//! Tests of the backoff.

use super::*;

#[test]
fn delays_grow_to_the_maximum_and_reset_after_success() {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
    // `u64::MAX % (n + 1)` depends on n: the test passes the ceiling itself.
    let mut longest = |n: u64| backoff.next(n);
    assert_eq!(longest(100), Duration::from_millis(100));
    assert_eq!(longest(200), Duration::from_millis(200));
    assert_eq!(longest(350), Duration::from_millis(350));
    assert_eq!(longest(350), Duration::from_millis(350));
    backoff.reset();
    assert_eq!(backoff.next(101), Duration::ZERO);
}

#[test]
fn extreme_bounds_cause_no_panic() {
    let mut endless = Backoff::new(Duration::MAX, Duration::MAX);
    endless.next(u64::MAX);
    assert_eq!(
        Backoff::new(Duration::ZERO, Duration::ZERO).next(7),
        Duration::ZERO
    );
}
