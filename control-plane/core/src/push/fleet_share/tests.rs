//! Tests of the number of serving proxies: every proxy is told of growth at once and of shrinking after a delay.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000;

#[test]
fn growth_is_sent_at_once_and_an_unchanged_count_is_not() {
    let mut tracker = FleetShareTracker::default();
    assert_eq!(tracker.update(1, Timestamp(0)), Some(1));
    assert_eq!(tracker.update(1, Timestamp(1)), None);
    assert_eq!(tracker.update(3, Timestamp(2)), Some(3));
    assert_eq!(tracker.next_update_in(Timestamp(2)), None);
}

#[test]
fn a_proxy_that_reconnects_in_time_changes_nothing() {
    let mut tracker = FleetShareTracker::default();
    tracker.update(3, Timestamp(0));
    assert_eq!(tracker.update(2, Timestamp(SECOND)), None);
    assert_eq!(
        tracker.next_update_in(Timestamp(2 * SECOND)),
        Some(Duration::from_secs(4))
    );
    assert_eq!(tracker.update(3, Timestamp(3 * SECOND)), None);
    // The delay begins anew.
    assert_eq!(tracker.update(2, Timestamp(4 * SECOND)), None);
    assert_eq!(tracker.update(2, Timestamp(8 * SECOND)), None);
    assert_eq!(tracker.update(2, Timestamp(9 * SECOND)), Some(2));
}

#[test]
fn a_count_differs_from_the_latest_one_and_not_from_the_one_that_was_told() {
    let mut tracker = FleetShareTracker::default();
    tracker.update(3, Timestamp(0));
    tracker.update(2, Timestamp(SECOND));
    assert!(!tracker.differs(2));
    assert!(tracker.differs(1) && tracker.differs(3));
}

proptest! {
    /// Reference: a count is told when it exceeds the one told before, or when all counts of the delay were smaller.
    #[test]
    fn what_was_told_is_never_below_the_count_and_follows_it_after_the_delay(
        steps in proptest::collection::vec((0u64..4_000, 1u32..6), 1..60),
    ) {
        let mut tracker = FleetShareTracker::default();
        let (mut now, mut told) = (0, 0);
        let mut below_since: Option<u64> = None;
        for (passed, count) in steps {
            now += passed;
            let sent = tracker.update(count, Timestamp(now));
            prop_assert!(sent.is_none_or(|sent| sent == count && sent != told));
            let expected = if count >= told {
                below_since = None;
                count
            } else {
                let since = *below_since.get_or_insert(now);
                if now - since >= 5_000 { below_since = None; count } else { told }
            };
            told = sent.unwrap_or(told);
            prop_assert_eq!(told, expected);
            prop_assert!(!tracker.differs(count));
            prop_assert_eq!(tracker.next_update_in(Timestamp(now)).is_some(), told > count);
        }
    }
}
