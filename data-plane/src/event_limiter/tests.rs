//! The number of events in a second is limited.

use super::*;

#[test]
fn at_most_ten_events_a_second_pass_a_limiter_of_ten() {
    let limiter = EventLimiter::<10>::default();
    let admitted = |now: u64| {
        let tries = 0..1000;
        tries.filter(|_| limiter.admits(Timestamp(now))).count()
    };
    assert_eq!(admitted(5_000), 10);
    assert_eq!(admitted(5_999), 0);
    assert_eq!(admitted(6_000), 10);
    // The clock is set back.
    assert_eq!(admitted(1_000), 10);
}
